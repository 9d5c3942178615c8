//! What the C libraries would bring into a static executable though it never runs: functions of the same names, which
//! the linker takes first. They save a fifth of the executable.
//!
//! An object of an archive is linked for one reference to it, and in glibc that means all its clean-up code, which
//! nothing may drop, and all that this refers to. Each function here answers as one that failed; what has no such
//! answer, or no caller that is left, aborts. `.cargo/config.toml` links with `-z muldefs`: a library that cuts its
//! objects differently links as well, only larger.

use std::ffi::{c_char, c_int};
use std::ptr::{null, null_mut};

/// Functions that can't be called: the linker only wants their names.
macro_rules! uncalled {
    ($($name:ident)*) => {
        $(
            #[unsafe(no_mangle)]
            extern "C" fn $name() -> ! {
                std::process::abort()
            }
        )*
    };
}

/// Functions that return one value, whatever they are called with.
macro_rules! failing {
    ($($name:ident -> $result:ty = $value:expr;)*) => {
        $(
            #[unsafe(no_mangle)]
            extern "C" fn $name() -> $result {
                $value
            }
        )*
    };
}

// The unwinder of libgcc (Itanium C++ ABI: Exception Handling, level I). A panic aborts, no thread is cancelled, and
// without symbols a backtrace would hold no names: with RUST_BACKTRACE it is an empty one (`_URC_END_OF_STACK`).
failing! {
    _Unwind_Backtrace -> c_int = 5;
}
uncalled! {
    _Unwind_DeleteException
    _Unwind_FindEnclosingFunction
    _Unwind_ForcedUnwind
    _Unwind_GetCFA
    _Unwind_GetDataRelBase
    _Unwind_GetGR
    _Unwind_GetIP
    _Unwind_GetIPInfo
    _Unwind_GetLanguageSpecificData
    _Unwind_GetRegionStart
    _Unwind_GetTextRelBase
    _Unwind_RaiseException
    _Unwind_Resume
    _Unwind_Resume_or_Rethrow
    _Unwind_SetGR
    _Unwind_SetIP
    __gcc_personality_v0
}

// Name services (getaddrinfo(3), getpwuid_r(3), resolver(3)): std refers to them for `ToSocketAddrs` and `home_dir`.
// In a static executable they would want glibc's shared libraries of the same version on the target.
failing! {
    getaddrinfo -> c_int = libc::EAI_FAIL;
    getpwuid_r -> c_int = libc::ENOSYS;
    gai_strerror -> *const c_char = c"no name service".as_ptr();
    __res_init -> c_int = -1;
    __res_vinit -> c_int = -1;
}
uncalled! {
    freeaddrinfo
    __res_iclose
    __res_randomid
}

// zlib (zlib.h): libelf for sections that are compressed, which no object has that btc made; libbpf for
// /proc/config.gz, which it reads for `__kconfig` variables alone.
failing! {
    deflateInit_ -> c_int = Z_STREAM_ERROR;
    deflate -> c_int = Z_STREAM_ERROR;
    deflateEnd -> c_int = Z_STREAM_ERROR;
    inflateInit_ -> c_int = Z_STREAM_ERROR;
    inflate -> c_int = Z_STREAM_ERROR;
    inflateReset -> c_int = Z_STREAM_ERROR;
    inflateEnd -> c_int = Z_STREAM_ERROR;
    gzopen -> *mut u8 = null_mut();
    gzgets -> *const c_char = null();
    gzclose -> c_int = Z_STREAM_ERROR;
}

const Z_STREAM_ERROR: c_int = -2;

// zstd (zstd.h), which libelf compresses sections with since 0.189.
failing! {
    ZSTD_createCCtx -> *mut u8 = null_mut();
    ZSTD_compressStream2 -> usize = usize::MAX;
    ZSTD_freeCCtx -> usize = usize::MAX;
    ZSTD_decompress -> usize = usize::MAX;
    ZSTD_isError -> c_int = 1;
}

// glibc's scanf reads floating point numbers with these; libbpf scans /proc/kallsyms and the like for integers and
// words.
uncalled! {
    __strtod_internal
    __strtof_internal
    __strtold_internal
    __strtof128_internal
}

// glibc prints with these to streams of wide characters, which nobody opens, and floating point numbers as hexadecimal
// ones (`%a`).
uncalled! {
    __vfwprintf_internal
    __printf_fphex
}

// glibc converts characters with these: between a locale's and wide ones. Without setlocale(3) there is none but C's, and
// no stream is wide. Closing a stream takes the lock's address; its conversions would bring all others, and their tables.
uncalled! {
    __gconv_btwoc_ascii
    __gconv_close_transform
    __gconv_find_transform
    __gconv_release_step
    __gconv_transform_ascii_internal
    __gconv_transform_internal_ascii
}

/// A lock of glibc's that nobody takes.
#[repr(C, align(8))]
pub struct Untaken([u8; 64]);

#[unsafe(no_mangle)]
static mut __gconv_lock: Untaken = Untaken([0; 64]);
#[unsafe(no_mangle)]
static mut __libc_setlocale_lock: Untaken = Untaken([0; 64]);

/// glibc's messages by its own internal name for gettext(3): without setlocale(3) they are never translated.
#[unsafe(no_mangle)]
extern "C" fn __dcigettext(_domain: *const c_char, message: *const c_char) -> *const c_char {
    message
}
