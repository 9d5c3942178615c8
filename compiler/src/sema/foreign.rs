//! Imported C files: compiled once, and their functions called like the script's own.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::Options;
use super::lowering::Lowering;
use crate::builtin;
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::host::clang::Refusal;
use crate::host::{CError, CType, Function, Host};
use crate::ir::{self, Expr, ExprKind, IntType, Type};
use crate::source::{FileId, SourceMap, Span};
use crate::syntax::ast;

/// BPF passes arguments in five registers.
const MOST_ARGUMENTS: usize = 5;

/// The functions and the code of all imported C files.
#[derive(Default)]
pub(super) struct Foreign {
    functions: HashMap<String, Function>,
    pub modules: Vec<ir::ForeignModule>,
    /// A file could not be compiled, which is said: a name that nobody knows may be one of its functions.
    pub incomplete: bool,
}

/// `own`: whether the script has a macro or function of a name.
pub(super) fn read(
    program: &ast::Program,
    sources: &SourceMap,
    host: &dyn Host,
    options: &Options,
    own: &dyn Fn(&str) -> bool,
    diagnostics: &mut Diagnostics,
) -> Foreign {
    let mut foreign = Foreign::default();
    for imported in &program.foreign {
        let source = sources.get(imported.file);
        match host.compile_c(&source.name, &source.text, &options.c) {
            Ok(compiled) => {
                for complaint in &compiled.complaints {
                    diagnostics.push(report(complaint, imported, sources));
                }
                for name in &compiled.programs {
                    diagnostics.push(program_in_c(name, imported, sources));
                }
                for function in compiled.functions {
                    let span = place_of(&function.name, imported, sources);
                    if let Some(taken) = foreign.add(function, own, span) {
                        diagnostics.push(taken.with_label(imported.span, "imported here"));
                    }
                }
                foreign.modules.push(ir::ForeignModule {
                    name: source.name.clone(),
                    bitcode: compiled.bitcode,
                    span: imported.span,
                });
            }
            Err(Refusal::Missing(why)) => {
                foreign.incomplete = true;
                diagnostics.push(
                    Diagnostic::error(
                        Code::Import,
                        imported.span,
                        format!("`{}` is compiled by clang, which isn't here", source.name),
                    )
                    .with_help(why),
                );
            }
            Err(Refusal::Errors(errors)) => {
                foreign.incomplete = true;
                for error in &errors {
                    diagnostics.push(report(error, imported, sources));
                }
            }
        }
    }
    foreign
}

/// Points at the C file, where clang says where.
fn report(error: &CError, imported: &ast::ForeignSource, sources: &SourceMap) -> Diagnostic {
    let text = &sources.get(imported.file).text;
    let span = match error.offset {
        Some(at) => word_at(imported.file, text, at),
        None => imported.span,
    };
    let made = match error.fatal {
        true => Diagnostic::error(Code::CPreamble, span, &error.message),
        false => Diagnostic::warning(Code::CPreamble, span, &error.message),
    };
    match error.offset {
        Some(_) => made.with_label(imported.span, "imported here"),
        None => made,
    }
}

fn word_at(file: FileId, text: &str, at: usize) -> Span {
    let at = (0..=at.min(text.len()))
        .rev()
        .find(|i| text.is_char_boundary(*i));
    let at = at.unwrap_or(0);
    let rest = &text[at..];
    let in_word = |c: char| c.is_alphanumeric() || c == '_';
    let word = rest.find(|c| !in_word(c)).unwrap_or(rest.len());
    let first = rest.chars().next().map_or(0, char::len_utf8);
    Span::new(file, at, at + word.max(first))
}

/// Where a function is defined, by its name: the compiler's description has no places.
fn place_of(name: &str, imported: &ast::ForeignSource, sources: &SourceMap) -> Span {
    let text = &sources.get(imported.file).text;
    let in_word = |c: char| c.is_alphanumeric() || c == '_';
    let whole = |at: &usize| {
        let before = text[..*at].chars().next_back();
        let after = text[at + name.len()..].trim_start().chars().next();
        !before.is_some_and(in_word) && after == Some('(')
    };
    let found = text.match_indices(name).map(|(at, _)| at).find(whole);
    found.map_or(imported.span, |at| {
        Span::new(imported.file, at, at + name.len())
    })
}

fn program_in_c(name: &str, imported: &ast::ForeignSource, sources: &SourceMap) -> Diagnostic {
    let span = place_of(name, imported, sources);
    let message = format!("`{name}` is a BPF program, and an imported C file has functions only");
    Diagnostic::error(Code::Import, span, message)
        .with_label(imported.span, "imported here")
        .with_help("write the probe in the script, and call a function of the file there")
}

impl Foreign {
    /// Takes in a function whose name nothing else has.
    fn add(
        &mut self,
        function: Function,
        own: &dyn Fn(&str) -> bool,
        span: Span,
    ) -> Option<Diagnostic> {
        let name = function.name.clone();
        let message = if builtin::lookup(&name).is_some() {
            format!("`{name}` is a builtin: a C function can't have its name")
        } else if own(&name) {
            format!("`{name}` is a macro or function of the script already")
        } else {
            match self.functions.entry(name) {
                Entry::Vacant(free) => {
                    free.insert(function);
                    return None;
                }
                Entry::Occupied(first) => {
                    format!("function `{}` is defined in two C files", first.key())
                }
            }
        };
        Some(Diagnostic::error(Code::DuplicateName, span, message))
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.functions.contains_key(name)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.functions.keys().map(String::as_str)
    }
}

/// How C passes a value.
enum Passed {
    Int(IntType),
    Bool,
    Pointer,
}

fn passed(ty: &CType) -> Option<Passed> {
    match ty {
        CType::Typedef { to, .. } => passed(to),
        CType::Int { bool_: true, .. } => Some(Passed::Bool),
        CType::Int { bytes, signed, .. } if *bytes <= 8 => Some(Passed::Int(IntType {
            bits: bytes * 8,
            signed: *signed,
        })),
        CType::Enum(of) => Some(Passed::Int(IntType {
            bits: of.bytes * 8,
            signed: of.signed,
        })),
        CType::Pointer { .. } => Some(Passed::Pointer),
        _ => None,
    }
}

fn is_void(ty: &CType) -> bool {
    match ty {
        CType::Typedef { to, .. } => is_void(to),
        ty => *ty == CType::Void,
    }
}

impl Lowering<'_> {
    /// A call of a function of a C file.
    pub(super) fn foreign_call(
        &mut self,
        name: &str,
        arguments: &[ast::Expr],
        span: Span,
    ) -> Option<Expr> {
        let foreign = self.foreign;
        let function = foreign.functions.get(name)?;
        let (expected, count) = (function.parameters.len(), arguments.len());
        if expected != count {
            let plural = if expected == 1 { "" } else { "s" };
            let message = format!("`{name}` takes {expected} argument{plural}, found {count}");
            return self.error(Code::ArgumentCount, span, message);
        }
        if count > MOST_ARGUMENTS {
            let message = format!("`{name}` takes more than {MOST_ARGUMENTS} arguments");
            return self.error(Code::ArgumentCount, span, message);
        }
        let pairs = function.parameters.iter().zip(arguments);
        let values = self.in_order(pairs, |l, ((parameter, ty), argument)| {
            l.foreign_argument(name, parameter, ty, argument)
        });
        let values = values.into_iter().collect::<Option<Vec<_>>>()?;
        let ty = match passed(&function.result) {
            _ if is_void(&function.result) => Type::Void,
            Some(Passed::Int(int)) => Type::Int(int),
            Some(Passed::Bool) => Type::Bool,
            Some(Passed::Pointer) => self.ctype(&function.result),
            None => {
                let message = format!("`{name}` returns a struct by value, which BPF can't");
                return self.error(Code::ArgumentType, span, message);
            }
        };
        let call = Expr {
            kind: ExprKind::Foreign {
                function: name.to_owned(),
                arguments: values,
            },
            ty,
            span,
        };
        if call.ty == Type::Void {
            self.push(ir::StmtKind::Eval(call), span);
            return Some(self.void(span));
        }
        // Called once, wherever its value is used.
        Some(self.once(call))
    }

    fn foreign_argument(
        &mut self,
        name: &str,
        parameter: &str,
        ty: &CType,
        argument: &ast::Expr,
    ) -> Option<Expr> {
        let value = self.expr(argument)?;
        let what = format!("`{parameter}` of `{name}`");
        match passed(ty) {
            Some(Passed::Int(int)) => {
                let value = self.int64(value, &what)?;
                Some(self.convert(value, Type::Int(int)))
            }
            Some(Passed::Bool) => self.truth(value),
            Some(Passed::Pointer) => match &value.ty {
                // Text and other values in memory go by their address, as arrays do in C.
                Type::String { .. }
                | Type::Buffer { .. }
                | Type::Array { .. }
                | Type::Tuple(_)
                | Type::Record(_) => Some(value),
                _ => {
                    let value = self.int64(value, &what)?;
                    Some(self.convert(value, Type::Int(IntType::U64)))
                }
            },
            None => {
                let message = format!("{what} is a struct by value, which BPF can't pass");
                self.error(Code::ArgumentType, argument.span, message)
            }
        }
    }
}
