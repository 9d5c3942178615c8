//! What LLVM complains of while it generates code. Its own way is to print and exit.

use std::ffi::{CStr, c_void};

use inkwell::llvm_sys::LLVMDiagnosticSeverity;
use inkwell::llvm_sys::core as raw;
use inkwell::llvm_sys::prelude::LLVMDiagnosticInfoRef;
use inkwell::module::Module;

use crate::bug::Bug;

/// Errors collected while it is installed.
pub struct Collected {
    /// LLVM keeps a pointer to the list, which must not move with this value.
    #[expect(clippy::box_collection)]
    errors: Box<Vec<String>>,
    context: inkwell::llvm_sys::prelude::LLVMContextRef,
}

extern "C" fn collect(info: LLVMDiagnosticInfoRef, errors: *mut c_void) {
    // SAFETY: LLVM hands over what `install` registered, which lives until `drop` takes the handler away; the
    // description is a C string of LLVM's, freed by LLVMDisposeMessage.
    unsafe {
        if !matches!(
            raw::LLVMGetDiagInfoSeverity(info),
            LLVMDiagnosticSeverity::LLVMDSError
        ) {
            return;
        }
        let text = raw::LLVMGetDiagInfoDescription(info);
        let errors = &mut *errors.cast::<Vec<String>>();
        errors.push(CStr::from_ptr(text).to_string_lossy().into_owned());
        raw::LLVMDisposeMessage(text);
    }
}

impl Collected {
    pub fn install(module: &Module) -> Self {
        let mut errors = Box::new(Vec::new());
        // SAFETY: the box's address is stable and outlives the registration.
        let context = unsafe { raw::LLVMGetModuleContext(module.as_mut_ptr()) };
        let to: *mut Vec<String> = &mut *errors;
        // SAFETY: as above.
        unsafe { raw::LLVMContextSetDiagnosticHandler(context, Some(collect), to.cast()) };
        Collected { errors, context }
    }

    pub fn check(&self) -> Result<(), Bug> {
        if self.errors.is_empty() {
            return Ok(());
        }
        Err(Bug::new(format!("LLVM: {}", self.errors.join("; "))))
    }
}

impl Drop for Collected {
    fn drop(&mut self) {
        // SAFETY: the context outlives this value; no handler means LLVM's own.
        unsafe {
            raw::LLVMContextSetDiagnosticHandler(self.context, None, std::ptr::null_mut());
        }
    }
}
