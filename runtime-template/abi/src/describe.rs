//! One declaration per type: the Rust type, and (for the compiler) how it is printed as a constant.

use alloc::borrow::Cow;

/// Text that is a literal in an executable and owned in the compiler.
pub type Text = Cow<'static, str>;
/// A list that is a literal in an executable and owned in the compiler.
pub type List<T> = Cow<'static, [T]>;

/// Declares a struct or an enum (unit and struct-like variants) of the manifest.
macro_rules! describe {
    ($(#[$meta:meta])* pub struct $name:ident { $($(#[$fmeta:meta])* pub $field:ident: $ty:ty,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name { $($(#[$fmeta])* pub $field: $ty,)* }

        #[cfg(feature = "render")]
        impl $crate::ToConst for $name {
            fn to_const(&self, out: &mut alloc::string::String) {
                out.push_str(concat!(stringify!($name), " { "));
                $(
                    out.push_str(concat!(stringify!($field), ": "));
                    $crate::ToConst::to_const(&self.$field, out);
                    out.push_str(", ");
                )*
                out.push('}');
            }
        }
    };
    ($(#[$meta:meta])* pub enum $name:ident {
        $($(#[$vmeta:meta])* $variant:ident $({ $($(#[$fmeta:meta])* $field:ident: $ty:ty,)* })?,)*
    }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq)]
        pub enum $name { $($(#[$vmeta])* $variant $({ $($(#[$fmeta])* $field: $ty,)* })?,)* }

        #[cfg(feature = "render")]
        impl $crate::ToConst for $name {
            fn to_const(&self, out: &mut alloc::string::String) {
                match self {
                    $($name::$variant $({ $($field,)* })? => {
                        out.push_str(concat!(stringify!($name), "::", stringify!($variant)));
                        $(
                            out.push_str(" { ");
                            $(
                                out.push_str(concat!(stringify!($field), ": "));
                                $crate::ToConst::to_const($field, out);
                                out.push_str(", ");
                            )*
                            out.push('}');
                        )?
                    })*
                }
            }
        }
    };
}

/// Prints a value as a Rust constant expression; the names it uses are those of this crate.
#[cfg(feature = "render")]
pub trait ToConst {
    fn to_const(&self, out: &mut alloc::string::String);
}

#[cfg(feature = "render")]
mod render {
    use super::{List, Text, ToConst};
    use alloc::{format, string::String};

    macro_rules! plain {
        ($($ty:ty),*) => { $(impl ToConst for $ty {
            fn to_const(&self, out: &mut String) { out.push_str(&format!("{self:?}")); }
        })* };
    }
    plain!(bool, u8, u16, u32, u64, i32, i64);

    impl ToConst for Text {
        fn to_const(&self, out: &mut String) {
            // `Debug` of a str is a Rust literal: everything that could end it is escaped.
            out.push_str(&format!("Cow::Borrowed({:?})", &**self));
        }
    }

    impl<T: ToConst + Clone> ToConst for List<T> {
        fn to_const(&self, out: &mut String) {
            out.push_str("Cow::Borrowed(&[");
            for item in self.iter() {
                item.to_const(out);
                out.push_str(", ");
            }
            out.push_str("])");
        }
    }

    impl<A: ToConst, B: ToConst> ToConst for (A, B) {
        fn to_const(&self, out: &mut String) {
            out.push('(');
            self.0.to_const(out);
            out.push_str(", ");
            self.1.to_const(out);
            out.push(')');
        }
    }

    impl<T: ToConst> ToConst for Option<T> {
        fn to_const(&self, out: &mut String) {
            match self {
                None => out.push_str("None"),
                Some(value) => {
                    out.push_str("Some(");
                    value.to_const(out);
                    out.push(')');
                }
            }
        }
    }
}
