//! Names of enum values: a script's own from the manifest, the kernel's from the target's BTF.

use std::ffi::{CStr, CString};
use std::ptr::NonNull;

use btc_abi::Enum;
use libbpf_sys::{btf, btf_type};

/// The manifest's enums, and the target's names of those that are the kernel's.
pub struct Enums {
    described: &'static [Enum],
    kernel: Option<Option<KernelTypes>>,
    /// Per enum; the outer `None`: not looked up yet.
    found: Vec<Option<Option<Values>>>,
}

/// Values with their names, in the kernel's order.
type Values = Vec<(u64, String)>;

impl Enums {
    pub fn new(described: &'static [Enum]) -> Self {
        Enums {
            described,
            kernel: None,
            found: described.iter().map(|_| None).collect(),
        }
    }

    /// The first name of a value.
    pub fn name(&mut self, index: usize, value: u64) -> Option<String> {
        let described = self.described.get(index)?;
        if described.kernel {
            // Not the names of the kernel that the script was compiled against.
            let values = self.of_target(index, described)?;
            let named = values.iter().find(|(number, _)| *number == value);
            return named.map(|(_, name)| name.clone());
        }
        let named = described.values.iter().find(|(number, _)| *number == value);
        named.map(|(_, name)| name.to_string())
    }

    fn of_target(&mut self, index: usize, described: &Enum) -> Option<&Values> {
        let slot = self.found.get_mut(index)?;
        if slot.is_none() {
            let kernel = self.kernel.get_or_insert_with(KernelTypes::load);
            *slot = Some(kernel.as_ref().and_then(|kernel| kernel.values(described)));
        }
        slot.as_ref()?.as_ref()
    }
}

/// The target's BTF.
struct KernelTypes(NonNull<btf>);

impl Drop for KernelTypes {
    fn drop(&mut self) {
        // SAFETY: ours alone.
        unsafe { libbpf_sys::btf__free(self.0.as_ptr()) };
    }
}

// Kinds of linux/btf.h.
const ENUM: u32 = 6;
const ENUM64: u32 = 19;

impl KernelTypes {
    fn load() -> Option<Self> {
        // SAFETY: no arguments; the result is null or ours.
        NonNull::new(unsafe { libbpf_sys::btf__load_vmlinux_btf() }).map(KernelTypes)
    }

    /// By name; an anonymous enum is the first that has one of its constants.
    fn values(&self, wanted: &Enum) -> Option<Values> {
        if !wanted.name.is_empty() {
            let name = CString::new(&*wanted.name).ok()?;
            for kind in [ENUM, ENUM64] {
                // SAFETY: live types, a NUL-terminated name.
                let id = unsafe {
                    libbpf_sys::btf__find_by_name_kind(self.0.as_ptr(), name.as_ptr(), kind)
                };
                if let Ok(id) = u32::try_from(id) {
                    return self.read(id);
                }
            }
            return None;
        }
        // SAFETY: live types.
        let count = unsafe { libbpf_sys::btf__type_cnt(self.0.as_ptr()) };
        (1..count).filter_map(|id| self.read(id)).find(|values| {
            let known = |name: &str| wanted.values.iter().any(|(_, wanted)| wanted == name);
            values.iter().any(|(_, name)| known(name))
        })
    }

    /// The values of type `id`, where it is an enum.
    fn read(&self, id: u32) -> Option<Values> {
        // SAFETY: live types; the result is null or lives as long as they do.
        let found: &btf_type =
            unsafe { libbpf_sys::btf__type_by_id(self.0.as_ptr(), id).as_ref() }?;
        // `info`: 16 bits of count, 5 bits of kind from bit 24 on, and the sign in bit 31.
        let count = found.info & 0xffff;
        let words = match found.info >> 24 & 0x1f {
            ENUM => 2,
            ENUM64 => 3,
            _ => return None,
        };
        let signed = found.info >> 31 == 1;
        // SAFETY: an enum is followed by `count` entries of so many words: name, low half, high half.
        let entries = unsafe {
            let first = std::ptr::from_ref(found).add(1).cast::<u32>();
            std::slice::from_raw_parts(first, count as usize * words)
        };
        Some(
            (entries.chunks_exact(words))
                .map(|entry| {
                    let low = entry[1];
                    let value = match entry.get(2) {
                        Some(high) => u64::from(*high) << 32 | u64::from(low),
                        None if signed => i64::from(low.cast_signed()).cast_unsigned(),
                        None => u64::from(low),
                    };
                    (value, self.text(entry[0]))
                })
                .collect(),
        )
    }

    fn text(&self, offset: u32) -> String {
        // SAFETY: live types; the result is null or a NUL-terminated string that lives as long as they do.
        let text = unsafe {
            let text = libbpf_sys::btf__name_by_offset(self.0.as_ptr(), offset);
            (!text.is_null()).then(|| CStr::from_ptr(text))
        };
        text.map(|text| text.to_string_lossy().into_owned())
            .unwrap_or_default()
    }
}
