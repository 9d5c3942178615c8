//! Names as compilers mangle them → names as programs write them; and whether such a name is the one that a script means.
//!
//! blazesym can demangle, but takes every name for a mangled one: a C function `f` would be `float`.

use cpp_demangle::DemangleOptions;

use crate::pattern;

/// The name in its language, for names that Rust or C++ mangled; others as they are.
pub fn demangle(name: &str) -> String {
    if !is_mangled(name) {
        return name.to_owned();
    }
    if let Ok(rust) = rustc_demangle::try_demangle(name) {
        // Without the hash.
        return format!("{rust:#}");
    }
    let symbol = cpp_demangle::Symbol::new(name).ok();
    let cpp = symbol.and_then(|symbol| symbol.demangle().ok());
    cpp.unwrap_or_else(|| name.to_owned())
}

/// What C++ calls a namespace without a name.
const ANONYMOUS: &str = "(anonymous namespace)";

fn is_mangled(name: &str) -> bool {
    name.starts_with("_Z") || name.starts_with("_R")
}

/// A function's name as a script writes it, maybe a pattern. Without parentheses it means all functions of that name,
/// whatever their parameters. Spaces don't count.
pub struct Wanted<'a> {
    text: &'a str,
    spaceless: String,
}

/// How a function's name fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    Exact,
    Pattern,
}

impl<'a> Wanted<'a> {
    pub fn new(text: &'a str) -> Self {
        Wanted {
            text,
            spaceless: spaceless(text),
        }
    }

    pub fn text(&self) -> &'a str {
        self.text
    }

    /// Whether a mangled name is meant.
    pub fn fit(&self, mangled: &str) -> Option<Fit> {
        if !is_mangled(mangled) {
            return None;
        }
        if let Ok(rust) = rustc_demangle::try_demangle(mangled) {
            return self.fit_written(&format!("{rust:#}"));
        }
        // With a suffix (`.cold`, `.isra.0`) it is a part or a copy of the function, called in another way.
        if mangled.contains('.') {
            return None;
        }
        let symbol = cpp_demangle::Symbol::new(mangled).ok()?;
        let short = DemangleOptions::new();
        // A function template's name has its return type in front.
        let forms = match self.text.replace(ANONYMOUS, "").contains('(') {
            true => [short, short.no_return_type()],
            false => [short.no_params(), short.no_params().no_return_type()],
        };
        let fits = forms.iter().map(|form| {
            let written = symbol.demangle_with_options(form).ok()?;
            self.fit_written(&written)
        });
        // The exact one of the two, if any.
        fits.flatten().min_by_key(|fit| *fit == Fit::Pattern)
    }

    fn fit_written(&self, written: &str) -> Option<Fit> {
        let written = spaceless(written);
        if written == self.spaceless {
            return Some(Fit::Exact);
        }
        let fits =
            pattern::is_pattern(&self.spaceless) && pattern::matches(&self.spaceless, &written);
        fits.then_some(Fit::Pattern)
    }
}

fn spaceless(text: &str) -> String {
    text.replace(' ', "")
}

#[cfg(test)]
mod tests {
    use super::{Fit, Wanted, demangle};

    #[test]
    fn languages() {
        let names = [
            ("f", "f"),
            ("i", "i"),
            ("_Zebra", "_Zebra"),
            ("_R", "_R"),
            ("_ZN3Foo3barEiPKc", "Foo::bar(int, char const*)"),
            ("_Z3foov", "foo()"),
            ("_ZN4core3fmt5write17h0123456789abcdefE", "core::fmt::write"),
            ("_RNvCs1234_7mycrate3foo", "mycrate::foo"),
        ];
        for (mangled, expected) in names {
            assert_eq!(demangle(mangled), expected);
        }
    }

    fn fit(wanted: &str, mangled: &str) -> Option<Fit> {
        Wanted::new(wanted).fit(mangled)
    }

    #[test]
    fn overloads() {
        // Foo::bar(int, char const*)
        let bar = "_ZN3Foo3barEiPKc";
        assert_eq!(fit("Foo::bar", bar), Some(Fit::Exact));
        assert_eq!(fit("Foo::bar(int,char const*)", bar), Some(Fit::Exact));
        assert_eq!(fit("Foo::bar(int, char const *)", bar), Some(Fit::Exact));
        assert_eq!(fit("Foo::bar(int)", bar), None);
        assert_eq!(fit("Foo::bar()", bar), None);
        assert_eq!(fit("Foo::ba", bar), None);
        assert_eq!(fit("bar", bar), None);
        assert_eq!(fit("Foo::*", bar), Some(Fit::Pattern));
        assert_eq!(fit("*", bar), Some(Fit::Pattern));
        assert_eq!(fit("*", "main"), None);
        let inner = Some(Fit::Exact);
        assert_eq!(
            fit("(anonymous namespace)::inner", "_ZN12_GLOBAL__N_15innerEl"),
            inner
        );
        assert_eq!(fit("*", "_ZN3Foo3barEiPKc.cold"), None);
    }

    #[test]
    fn templates_operators_and_constness() {
        // int twice<int>(int)
        let twice = "_Z5twiceIiET_S0_";
        assert_eq!(fit("int twice<int>(int)", twice), Some(Fit::Exact));
        assert_eq!(fit("twice<int>(int)", twice), Some(Fit::Exact));
        assert_eq!(fit("twice<int>", twice), Some(Fit::Exact));
        // Foo::operator()(int) const
        let call = "_ZNK3FooclEi";
        assert_eq!(fit("Foo::operator()(int) const", call), Some(Fit::Exact));
        assert_eq!(
            fit("core::fmt::write", "_ZN4core3fmt5write17h0123456789abcdefE"),
            Some(Fit::Exact)
        );
    }
}
