//! `usdt`: markers that programs and libraries carry in notes. The notes are read on the target, where also the places of a
//! marker's arguments are found; the binary need not be here.

use btc_abi as abi;

use super::point::{Parts, is_pattern, one};
use super::{Args, Environment, Numbered, ProbeContext, Provider};
use crate::diagnostic::Diagnostic;
use crate::ir::ProgramKind;

const FORMS: &str = "`usdt:binary:name` and `usdt:binary:namespace:name`";

pub(super) const USDT: Provider = Provider {
    name: "usdt",
    aliases: &["U"],
    resolve: |point, environment| {
        let parts = Parts {
            point,
            provider: "usdt",
            forms: FORMS,
        };
        one(marker(&parts, environment))
    },
};

fn marker(parts: &Parts, _: &Environment) -> Result<ProbeContext, Diagnostic> {
    let (binary, namespace, name) = match parts.between_some_empty(2, 3)? {
        [binary, namespace, name] => (binary, Some(namespace), name),
        [binary, name] => (binary, None, name),
        _ => return Err(parts.wrong(parts.span(), "expected a binary and a name")),
    };
    parts.check(name)?;
    // An empty binary is any that the process of `-p` maps, an empty namespace is none.
    let namespace = namespace.filter(|namespace| !namespace.text.is_empty());
    let every = "*".to_string();
    let path = match binary.text.is_empty() {
        true => &every,
        false => &binary.text,
    };
    let mut point = parts.made(
        ProgramKind::Kprobe,
        abi::Attach::Usdt {
            binary: path.clone().into(),
            namespace: namespace.map(|namespace| namespace.text.clone().into()),
            name: name.text.clone().into(),
            // The layout says which the body reads.
            arguments: 0,
        },
    );
    // The name in full has a namespace; where none is written it is the target's to say.
    point.wildcard = namespace.is_none()
        || is_pattern(path)
        || parts.all().iter().any(|part| is_pattern(&part.text));
    point.pid_filter = true;
    point.numbered = Numbered::Marker;
    point.args = Args::None {
        help: Some("a usdt probe's arguments have no names: use `arg0` to `arg11`"),
    };
    point.user_space = true;
    Ok(point)
}
