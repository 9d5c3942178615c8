//! Where the arguments of a usdt probe are: what the runtime read in the binary's notes, for the program to follow.

/// Most arguments that a probe can have (SDT_MAX_ARGS of SystemTap's sys/sdt.h).
pub const MOST_ARGUMENTS: usize = 12;

/// An element of the map of sites. `size_of` is 200.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Site {
    /// The number of the site's probe name.
    pub name: u32,
    pub _zero: u32,
    pub arguments: [Argument; MOST_ARGUMENTS],
}

/// How an argument is computed: `constant`, plus the register `base`, plus the register `index` shifted left by `scale`; that
/// is the value, or the address in user memory of `size` bytes that are the value. Of the value the low `size` bytes
/// count, and are extended to 64 bits by their sign or with zeroes. `size_of` is 16. All zeroes: the constant 0.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Argument {
    pub constant: i64,
    /// One more than the register's byte offset in struct pt_regs (arm64: user_pt_regs); 0: none.
    pub base: u16,
    /// The same for the index register.
    pub index: u16,
    pub scale: u8,
    /// 1, 2, 4 or 8; 0 where there is no argument.
    pub size: u8,
    /// 1: the sum is an address.
    pub memory: u8,
    /// 1: the value is signed.
    pub signed: u8,
}

/// Bytes of a [`Site`].
pub const SITE_SIZE: u32 = size_of::<Site>() as u32;
const _: () = assert!(SITE_SIZE == 200 && size_of::<Argument>() == 16);

impl Site {
    /// As the map holds it.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; SITE_SIZE as usize] {
        let mut bytes = [0; SITE_SIZE as usize];
        bytes[..4].copy_from_slice(&self.name.to_le_bytes());
        for (argument, room) in self.arguments.iter().zip(bytes[8..].chunks_exact_mut(16)) {
            room[..8].copy_from_slice(&argument.constant.to_le_bytes());
            room[8..10].copy_from_slice(&argument.base.to_le_bytes());
            room[10..12].copy_from_slice(&argument.index.to_le_bytes());
            room[12..].copy_from_slice(&[
                argument.scale,
                argument.size,
                argument.memory,
                argument.signed,
            ]);
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::mem::offset_of;

    #[test]
    fn bytes_lie_as_the_fields_do() {
        let mut site = Site {
            name: 7,
            ..Site::default()
        };
        site.arguments[2] = Argument {
            constant: -3,
            base: 0x0102,
            index: 0x0304,
            scale: 5,
            size: 6,
            memory: 7,
            signed: 8,
        };
        let bytes = site.to_bytes();
        let at = offset_of!(Site, arguments) + 2 * size_of::<Argument>();
        assert_eq!(bytes[offset_of!(Site, name)], 7);
        assert_eq!(bytes[at..at + 2], [0xfd, 0xff]);
        assert_eq!(bytes[at + offset_of!(Argument, base)], 2);
        assert_eq!(bytes[at + offset_of!(Argument, index)], 4);
        assert_eq!(bytes[at + offset_of!(Argument, scale)], 5);
        assert_eq!(bytes[at + offset_of!(Argument, size)], 6);
        assert_eq!(bytes[at + offset_of!(Argument, memory)], 7);
        assert_eq!(bytes[at + offset_of!(Argument, signed)], 8);
    }
}
