//! GFP flags → their names. Their bits differ from kernel to kernel: they are read from the target's own description
//! of `kmem:kmalloc`, which prints such flags.

use crate::target::{Target, read_at_once};

/// The names, in the order in which the kernel looks for them; read when first asked for.
#[derive(Default)]
pub struct GfpFlags(Option<Vec<(u64, String)>>);

impl GfpFlags {
    /// `GFP_KERNEL|__GFP_ZERO`; what has no name follows in hex, no flags are `none`.
    pub fn text(&mut self, flags: u64) -> String {
        if flags == 0 {
            return "none".to_owned();
        }
        let known = self.0.get_or_insert_with(|| parse(&description()));
        let mut rest = flags;
        let mut words = Vec::new();
        for (mask, name) in known {
            if *mask != 0 && rest & *mask == *mask {
                words.push(name.clone());
                rest &= !*mask;
            }
        }
        if rest != 0 {
            words.push(format!("{rest:#x}"));
        }
        words.join("|")
    }
}

/// Empty where the target has no such event: then flags are numbers.
fn description() -> String {
    let target = Target::new(None, false);
    let format = (target.tracefs().ok())
        .map(|root| root.join("events/kmem/kmalloc/format"))
        .and_then(|path| read_at_once(&path).ok());
    format.unwrap_or_default()
}

/// The list in `__print_flags(REC->gfp_flags, "|", {MASK, "NAME"}, …)`.
fn parse(format: &str) -> Vec<(u64, String)> {
    let mut known = Vec::new();
    let Some((_, mut rest)) = format.split_once("__print_flags(REC->gfp_flags") else {
        return known;
    };
    while let Some((_, item)) = rest.split_once('{') {
        let Some((item, after)) = item.split_once('}') else {
            break;
        };
        if let Some((mask, name)) = item.rsplit_once(',')
            && let Some(mask) = (Expression { text: mask }).whole()
        {
            known.push((mask, name.trim().trim_matches('"').to_owned()));
        }
        rest = after;
        // The next thing after the list's last item is its closing parenthesis.
        if rest.trim_start().starts_with(')') {
            break;
        }
    }
    known
}

/// A constant expression of C as the preprocessor leaves it: numbers, casts, `~`, `<<`, `&`, `|`.
struct Expression<'t> {
    text: &'t str,
}

impl Expression<'_> {
    /// `None`: something else is in it.
    fn whole(mut self) -> Option<u64> {
        let value = self.either()?;
        self.text.trim().is_empty().then_some(value)
    }

    fn eat(&mut self, token: &str) -> bool {
        self.text = self.text.trim_start();
        match self.text.strip_prefix(token) {
            Some(rest) => {
                self.text = rest;
                true
            }
            None => false,
        }
    }

    fn either(&mut self) -> Option<u64> {
        let mut value = self.both()?;
        while self.eat("|") {
            value |= self.both()?;
        }
        Some(value)
    }

    fn both(&mut self) -> Option<u64> {
        let mut value = self.shifted()?;
        while self.eat("&") {
            value &= self.shifted()?;
        }
        Some(value)
    }

    fn shifted(&mut self) -> Option<u64> {
        let mut value = self.unary()?;
        while self.eat("<<") {
            value = value.checked_shl(u32::try_from(self.unary()?).ok()?)?;
        }
        Some(value)
    }

    fn unary(&mut self) -> Option<u64> {
        if self.eat("~") {
            return self.unary().map(|value| !value);
        }
        if !self.eat("(") {
            return self.number();
        }
        self.text = self.text.trim_start();
        let starts_name = |c: char| c.is_ascii_alphabetic() || c == '_';
        if self.text.starts_with(starts_name) {
            // A cast changes nothing of masks.
            let in_cast = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ' ';
            self.text = self.text.trim_start_matches(in_cast);
            return if self.eat(")") { self.unary() } else { None };
        }
        let value = self.either()?;
        self.eat(")").then_some(value)
    }

    fn number(&mut self) -> Option<u64> {
        self.text = self.text.trim_start();
        let length = (self.text.bytes())
            .take_while(u8::is_ascii_alphanumeric)
            .count();
        let (digits, rest) = self.text.split_at(length);
        self.text = rest;
        let digits = digits.trim_end_matches(['U', 'L', 'u', 'l']);
        match digits.strip_prefix("0x") {
            Some(hex) => u64::from_str_radix(hex, 16).ok(),
            None => digits.parse().ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_are_read() {
        let format = "(REC->gfp_flags) ? __print_flags(REC->gfp_flags, \"|\", \
            {( unsigned long)((( gfp_t)(((((1UL))) << (10))|((((1UL))) << (11)))) | (( gfp_t)((((1UL))) << (6)))), \"GFP_KERNEL\"}, \
            {( unsigned long)(((( gfp_t)0x7u) & ~(( gfp_t)2))), \"ODD\"}, \
            {( unsigned long)(( gfp_t)((((1UL))) << (SOME_BIT))), \"UNKNOWN\"}) : \"none\", {1, \"no\"}";
        let known = parse(format);
        assert_eq!(
            known,
            [(0xc40, "GFP_KERNEL".to_owned()), (5, "ODD".to_owned())]
        );
        let mut flags = GfpFlags(Some(known));
        assert_eq!(flags.text(0xc40 | 5 | 0x8000), "GFP_KERNEL|ODD|0x8000");
        assert_eq!(flags.text(0), "none");
        assert_eq!(GfpFlags(Some(Vec::new())).text(0xc40), "0xc40");
    }
}
