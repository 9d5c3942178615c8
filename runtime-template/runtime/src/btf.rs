//! The functions that a BTF describes: the kernel's own, a module's, a BPF program's.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::Arc;

use libbpf_sys::{btf, btf_type};

use crate::Error;
use crate::attach::BtfFunction;
use crate::target::c_string;

// Kinds of linux/btf.h.
const STRUCT: u32 = 4;
const UNION: u32 = 5;
const TYPEDEF: u32 = 8;
const VOLATILE: u32 = 9;
const CONST: u32 = 10;
const RESTRICT: u32 = 11;
const FUNC: u32 = 12;
const FUNC_PROTO: u32 = 13;
const DECL_TAG: u32 = 17;
const TYPE_TAG: u32 = 18;

/// Types of one object.
pub struct Types {
    raw: NonNull<btf>,
    /// `None`: the kernel itself.
    pub module: Option<String>,
    /// The module's BTF, or the program.
    object: Option<Arc<OwnedFd>>,
    of_program: bool,
}

impl Drop for Types {
    fn drop(&mut self) {
        // SAFETY: ours alone.
        unsafe { libbpf_sys::btf__free(self.raw.as_ptr()) };
    }
}

impl Types {
    /// The kernel's own.
    pub fn kernel() -> Result<Self, Error> {
        // SAFETY: no arguments; the result is null or ours.
        let raw = NonNull::new(unsafe { libbpf_sys::btf__load_vmlinux_btf() });
        let raw = raw.ok_or_else(|| Error::last_os("read the kernel's BTF"))?;
        Ok(Types {
            raw,
            module: None,
            object: None,
            of_program: false,
        })
    }

    /// Those of every loaded module whose name `wanted` takes (Linux 5.11). They refer to the kernel's.
    pub fn modules(&self, wanted: impl Fn(&str) -> bool) -> Vec<Self> {
        let mut found = Vec::new();
        for (fd, name) in objects() {
            if name == "vmlinux" || !wanted(&name) {
                continue;
            }
            let Ok(path) = c_string(name.as_str()) else {
                continue;
            };
            // SAFETY: a NUL-terminated name and live types; the result is null or ours.
            let raw = unsafe { libbpf_sys::btf__load_module_btf(path.as_ptr(), self.raw.as_ptr()) };
            if let Some(raw) = NonNull::new(raw) {
                found.push(Types {
                    raw,
                    module: Some(name),
                    object: Some(Arc::new(fd)),
                    of_program: false,
                });
            }
        }
        found
    }

    /// Those of a loaded BPF program, by the number of its BTF.
    fn of_program(program: OwnedFd, btf: u32) -> Result<Self, Error> {
        // SAFETY: a plain integer; the result is null or ours.
        let raw = NonNull::new(unsafe { libbpf_sys::btf__load_from_kernel_by_id(btf) });
        Ok(Types {
            raw: raw.ok_or_else(|| Error::last_os("read the BTF of a BPF program"))?,
            module: None,
            object: Some(Arc::new(program)),
            of_program: true,
        })
    }

    /// Calls `each` with every function.
    pub fn for_each_function(&self, each: impl FnMut(u32, &str)) {
        self.for_each(FUNC, each);
    }

    /// Calls `each` with every raw tracepoint, which have a typedef of their arguments each.
    pub fn for_each_raw_tracepoint(&self, mut each: impl FnMut(&str)) {
        self.for_each(TYPEDEF, |_, name| {
            if let Some(event) = name.strip_prefix("btf_trace_") {
                each(event);
            }
        });
    }

    fn for_each(&self, kind: u32, mut each: impl FnMut(u32, &str)) {
        let (first, count) = self.own_types();
        for id in first..count {
            if let Some(found) = self.of_kind(id, kind)
                && let Some(name) = self.text(found.name_off)
            {
                each(id, name);
            }
        }
    }

    /// The number of a function.
    #[must_use]
    pub fn function(&self, name: &str) -> Option<u32> {
        let wanted = c_string(name).ok()?;
        // SAFETY: live types, a NUL-terminated name.
        let id =
            unsafe { libbpf_sys::btf__find_by_name_kind(self.raw.as_ptr(), wanted.as_ptr(), FUNC) };
        let id = u32::try_from(id).ok()?;
        // A module's types are numbered after the kernel's, where the name may be too.
        (id >= self.own_types().0).then_some(id)
    }

    /// The number of a function that BPF programs can call. Where the BTF marks these, one without a mark is none.
    #[must_use]
    pub fn kfunc(&self, name: &str) -> Option<u32> {
        let id = self.function(name)?;
        let mut marked = false;
        let mut found = false;
        self.for_each(DECL_TAG, |tag, text| {
            if text == "bpf_kfunc" {
                marked = true;
                found |= self.type_(tag).is_some_and(|tag| self.reference(tag) == id);
            }
        });
        (found || !marked).then_some(id)
    }

    /// The number of a raw tracepoint's type.
    #[must_use]
    pub fn raw_tracepoint(&self, event: &str) -> Option<u32> {
        let wanted = c_string(format!("btf_trace_{event}")).ok()?;
        // SAFETY: live types, a NUL-terminated name.
        let id = unsafe {
            libbpf_sys::btf__find_by_name_kind(self.raw.as_ptr(), wanted.as_ptr(), TYPEDEF)
        };
        u32::try_from(id).ok()
    }

    /// A descriptor of a module's BTF.
    #[must_use]
    pub fn descriptor(&self) -> Option<OwnedFd> {
        self.object.as_ref()?.try_clone().ok()
    }

    /// What a program is loaded for, with the places of the function's parameters and result in its context.
    #[must_use]
    pub fn traced(&self, id: u32, name: &str) -> BtfFunction {
        BtfFunction {
            name: name.to_owned(),
            id,
            object: self.object.clone(),
            of_program: self.of_program,
            members: self.members(id).unwrap_or_default(),
        }
    }

    /// From the first type that is not of the kernel below it to the last.
    fn own_types(&self) -> (u32, u32) {
        // SAFETY: live types.
        unsafe {
            let base = libbpf_sys::btf__base_btf(self.raw.as_ptr());
            let first = match base.is_null() {
                true => 1,
                false => libbpf_sys::btf__type_cnt(base),
            };
            (first, libbpf_sys::btf__type_cnt(self.raw.as_ptr()))
        }
    }

    fn type_(&self, id: u32) -> Option<&btf_type> {
        // SAFETY: live types; the result is null or lives as long as they do.
        unsafe { libbpf_sys::btf__type_by_id(self.raw.as_ptr(), id).as_ref() }
    }

    fn of_kind(&self, id: u32, kind: u32) -> Option<&btf_type> {
        self.type_(id).filter(|found| kind_of(found) == kind)
    }

    fn text(&self, offset: u32) -> Option<&str> {
        // SAFETY: live types; the result is null or a string that lives as long as they do.
        unsafe {
            let text = libbpf_sys::btf__name_by_offset(self.raw.as_ptr(), offset);
            (!text.is_null()).then(|| CStr::from_ptr(text).to_str().ok())?
        }
    }

    /// A word for each parameter, and one for each further eight bytes of a struct; then the result.
    fn members(&self, function: u32) -> Option<Vec<(String, u32)>> {
        let prototype = self.reference(self.of_kind(function, FUNC)?);
        let prototype = self.of_kind(prototype, FUNC_PROTO)?;
        let count = prototype.info & 0xffff;
        // SAFETY: a prototype is followed by its parameters: name and type, a word each.
        let parameters = unsafe {
            let first = std::ptr::from_ref(prototype).add(1).cast::<[u32; 2]>();
            std::slice::from_raw_parts(first, count as usize)
        };
        let mut members = Vec::new();
        let mut offset = 0;
        for [name, ty] in parameters {
            members.push((self.text(*name)?.to_owned(), offset));
            offset += 8 * self.bytes(*ty).div_ceil(8).max(1);
        }
        if self.reference(prototype) != 0 {
            members.push((btc_abi::probe::RESULT.to_owned(), offset));
        }
        Some(members)
    }

    /// Of a struct or union; what else is passed takes a word.
    fn bytes(&self, mut id: u32) -> u32 {
        while let Some(found) = self.type_(id) {
            match kind_of(found) {
                STRUCT | UNION => return self.reference(found),
                TYPEDEF | VOLATILE | CONST | RESTRICT | TYPE_TAG => id = self.reference(found),
                _ => return 8,
            }
        }
        8
    }

    /// The type that a type refers to, or a struct's size: one word.
    fn reference(&self, of: &btf_type) -> u32 {
        // SAFETY: both members of the union are u32.
        unsafe { of.__bindgen_anon_1.type_ }
    }
}

/// `info`: 16 bits of count, 5 bits of kind from bit 24 on.
fn kind_of(found: &btf_type) -> u32 {
    found.info >> 24 & 0x1f
}

/// Calls `each` with the types of every loaded BPF program that has some; with those of one program where `id` is not 0.
pub fn for_each_program(id: u32, mut each: impl FnMut(&Types)) {
    let mut next = id.saturating_sub(1);
    // SAFETY: `next` is a valid place.
    while unsafe { libbpf_sys::bpf_prog_get_next_id(next, &raw mut next) } == 0 {
        if id != 0 && next != id {
            return;
        }
        if let Some(types) = program_types(next) {
            each(&types);
        }
    }
}

/// `None`: the program is gone, may not be opened, or has no types.
fn program_types(id: u32) -> Option<Types> {
    // SAFETY: a plain integer.
    let fd = unsafe { libbpf_sys::bpf_prog_get_fd_by_id(id) };
    if fd < 0 {
        return None;
    }
    // SAFETY: the call succeeded, so the descriptor is open and ours alone.
    let program = unsafe { OwnedFd::from_raw_fd(fd) };
    let mut info = libbpf_sys::bpf_prog_info::default();
    let mut size = size_of::<libbpf_sys::bpf_prog_info>() as u32;
    // SAFETY: an open program, a valid place of that size.
    let result = unsafe {
        libbpf_sys::bpf_prog_get_info_by_fd(program.as_raw_fd(), &raw mut info, &raw mut size)
    };
    if result < 0 || info.btf_id == 0 {
        return None;
    }
    Types::of_program(program, info.btf_id).ok()
}

/// The BTF objects of the kernel and its modules; those that this process may open.
fn objects() -> Vec<(OwnedFd, String)> {
    let mut found = Vec::new();
    let mut id = 0;
    // SAFETY: `id` is a valid place.
    while unsafe { libbpf_sys::bpf_btf_get_next_id(id, &raw mut id) } == 0 {
        // SAFETY: a plain integer.
        let fd = unsafe { libbpf_sys::bpf_btf_get_fd_by_id(id) };
        if fd < 0 {
            continue;
        }
        // SAFETY: the call succeeded, so the descriptor is open and ours alone.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        if let Some(name) = kernel_object_name(&fd) {
            found.push((fd, name));
        }
    }
    found
}

/// `None`: the BTF of a program or map.
fn kernel_object_name(fd: &OwnedFd) -> Option<String> {
    let mut name = [0u8; 64];
    let mut info = libbpf_sys::bpf_btf_info {
        name: name.as_mut_ptr() as u64,
        name_len: name.len() as u32,
        ..Default::default()
    };
    let mut size = size_of::<libbpf_sys::bpf_btf_info>() as u32;
    // SAFETY: an open BTF, a valid place of that size, a name with room for `name_len` bytes.
    let result =
        unsafe { libbpf_sys::bpf_btf_get_info_by_fd(fd.as_raw_fd(), &raw mut info, &raw mut size) };
    if result < 0 || info.kernel_btf == 0 {
        return None;
    }
    let name = CStr::from_bytes_until_nul(&name).ok()?;
    Some(name.to_str().ok()?.to_owned())
}

/// Whether any program can be loaded for a function: the kernel's own answer to one that reads a word of its context
/// and does nothing.
pub fn try_load(function: &BtfFunction, attach_type: u32, offset: Option<i16>) -> io::Result<()> {
    // BPF_LDX | BPF_MEM | BPF_DW, BPF_ALU64 | BPF_MOV | BPF_K, BPF_JMP | BPF_EXIT.
    let mut program = [0x79, 0xb7, 0x95].map(|code| libbpf_sys::bpf_insn {
        code,
        ..Default::default()
    });
    program[0].set_src_reg(1);
    program[0].off = offset.unwrap_or(0);
    let program = &program[usize::from(offset.is_none())..];
    let mut options = libbpf_sys::bpf_prog_load_opts {
        sz: size_of::<libbpf_sys::bpf_prog_load_opts>() as _,
        expected_attach_type: attach_type,
        ..Default::default()
    };
    function.name_in(&mut options);
    // SAFETY: names are NUL-terminated or null, the program has two instructions, `options` says its own size.
    let fd = unsafe {
        libbpf_sys::bpf_prog_load(
            libbpf_sys::BPF_PROG_TYPE_TRACING,
            std::ptr::null(),
            c"GPL".as_ptr(),
            program.as_ptr(),
            program.len() as _,
            (&raw const options).cast_mut(),
        )
    };
    if fd < 0 {
        return Err(io::Error::from_raw_os_error(-fd));
    }
    // SAFETY: the call succeeded, so the descriptor is open and ours alone.
    drop(unsafe { OwnedFd::from_raw_fd(fd) });
    Ok(())
}
