//! `test` and `bench`: programs that the executable runs when it is asked to, `--test` or `--bench`.

use btc_abi as abi;

use super::point::{Parts, one};
use super::{Environment, ProbeContext, Provider};
use crate::diagnostic::Diagnostic;
use crate::ir::ProgramKind;

pub(super) const TEST: Provider = Provider {
    name: "test",
    aliases: &["TEST"],
    resolve: |point, environment| {
        let parts = Parts {
            point,
            provider: "test",
            forms: "`test:name`",
        };
        one(parse(&parts, environment))
    },
};

pub(super) const BENCH: Provider = Provider {
    name: "bench",
    aliases: &["BENCH"],
    resolve: |point, environment| {
        let parts = Parts {
            point,
            provider: "bench",
            forms: "`bench:name`",
        };
        one(parse(&parts, environment))
    },
};

fn parse(parts: &Parts, _: &Environment) -> Result<ProbeContext, Diagnostic> {
    let name = match parts.between(1, 1)? {
        [name] => abi::Text::from(name.text.clone()),
        _ => return Err(parts.wrong(parts.span(), "expected a name")),
    };
    let attach = match parts.provider {
        "test" => abi::Attach::Test { name },
        _ => abi::Attach::Bench { name },
    };
    Ok(parts.made(ProgramKind::TestRun, attach))
}
