//! Names as compilers mangle them → names as programs write them.
//!
//! blazesym can do it, but takes every name for a mangled one: a C function `f` would be `float`.

/// The name in its language, for names that Rust or C++ mangled; others as they are.
pub fn demangle(name: &str) -> String {
    if !name.starts_with("_Z") && !name.starts_with("_R") {
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

#[cfg(test)]
mod tests {
    use super::demangle;

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
}
