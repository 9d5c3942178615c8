//! What of libclang's C interface is used, as functions that are safe to call while their translation unit lives.
//!
//! Cursors and types are plain data that point into a translation unit. They stay inside [`super::parse`], which
//! disposes of the unit last; libclang checks them itself and answers an invalid cursor or type for an invalid question.

use std::ffi::{CStr, c_uint};
use std::ops::Range;
use std::ptr::null_mut;

use clang_sys as sys;
use clang_sys::{CXChildVisitResult, CXClientData, CXCursor, CXFile, CXSourceLocation, CXType};

/// A string of libclang's becomes ours, and its own is freed.
pub(super) fn owned(string: sys::CXString) -> String {
    // SAFETY: `string` was just made by libclang and is disposed of once, after its last use.
    unsafe {
        let text = sys::clang_getCString(string);
        let copy = if text.is_null() {
            String::new()
        } else {
            CStr::from_ptr(text).to_string_lossy().into_owned()
        };
        sys::clang_disposeString(string);
        copy
    }
}

pub(super) fn spelling(cursor: CXCursor) -> String {
    // SAFETY: see the module's comment.
    owned(unsafe { sys::clang_getCursorSpelling(cursor) })
}

/// The name of a struct, union or enum; empty for one without a tag.
pub(super) fn tag(cursor: CXCursor) -> String {
    let name = spelling(cursor);
    // Some versions spell `(unnamed struct at …)`, others the name of the typedef around it.
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if plain { name } else { String::new() }
}

extern "C" fn push(cursor: CXCursor, _parent: CXCursor, list: CXClientData) -> CXChildVisitResult {
    // SAFETY: `list` is the vector of `children`, which outlives the visit.
    unsafe { (*list.cast::<Vec<CXCursor>>()).push(cursor) };
    sys::CXChildVisit_Continue
}

pub(super) fn children(cursor: CXCursor) -> Vec<CXCursor> {
    let mut list: Vec<CXCursor> = vec![];
    // SAFETY: see the module's comment; the callback only pushes to `list`.
    unsafe { sys::clang_visitChildren(cursor, push, (&raw mut list).cast()) };
    list
}

extern "C" fn push_field(cursor: CXCursor, list: CXClientData) -> sys::CXVisitorResult {
    // SAFETY: `list` is the vector of `fields`, which outlives the visit.
    unsafe { (*list.cast::<Vec<CXCursor>>()).push(cursor) };
    sys::CXVisit_Continue
}

/// The members of a record, unnamed ones too.
pub(super) fn fields(ty: CXType) -> Vec<CXCursor> {
    let mut list: Vec<CXCursor> = vec![];
    // SAFETY: see the module's comment; the callback only pushes to `list`.
    unsafe { sys::clang_Type_visitFields(ty, push_field, (&raw mut list).cast()) };
    list
}

/// Where something stands, macros expanded.
#[derive(Clone, Debug)]
pub(super) struct Location {
    pub file: String,
    pub line: u32,
    pub offset: usize,
}

pub(super) fn location(at: CXSourceLocation) -> Location {
    let mut file: CXFile = null_mut();
    let (mut line, mut offset): (c_uint, c_uint) = (0, 0);
    // SAFETY: the out pointers are valid or null, which libclang allows.
    let name = unsafe {
        sys::clang_getExpansionLocation(
            at,
            &raw mut file,
            &raw mut line,
            null_mut(),
            &raw mut offset,
        );
        owned(sys::clang_getFileName(file))
    };
    Location {
        file: name,
        line,
        offset: offset as usize,
    }
}

/// The name of the file that a cursor stands in.
pub(super) fn file(cursor: CXCursor) -> String {
    // SAFETY: see the module's comment.
    location(unsafe { sys::clang_getCursorLocation(cursor) }).file
}

/// Bytes of its file that a cursor covers.
pub(super) fn extent(cursor: CXCursor) -> Range<usize> {
    // SAFETY: see the module's comment.
    let (start, end) = unsafe {
        let range = sys::clang_getCursorExtent(cursor);
        (
            sys::clang_getRangeStart(range),
            sys::clang_getRangeEnd(range),
        )
    };
    location(start).offset..location(end).offset
}
