//! /etc/passwd. Read here: what a static glibc does behind getpwuid depends on shared libraries of the target.

use std::collections::HashMap;

/// Names by user id.
#[derive(Default)]
pub struct Users(Option<HashMap<u64, String>>);

impl Users {
    /// The first name of the id.
    pub fn name(&mut self, id: u64) -> Option<String> {
        let read = || {
            std::fs::read("/etc/passwd").map_or_else(
                |_| HashMap::new(),
                |bytes| parse(&String::from_utf8_lossy(&bytes)),
            )
        };
        self.0.get_or_insert_with(read).get(&id).cloned()
    }
}

/// Lines of `name:password:uid:…`.
fn parse(text: &str) -> HashMap<u64, String> {
    let mut names = HashMap::new();
    for line in text.lines() {
        let mut fields = line.split(':');
        if let (Some(name), Some(id)) = (fields.next(), fields.nth(1))
            && let Ok(id) = id.parse()
        {
            names.entry(id).or_insert_with(|| name.to_owned());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_first_name_counts() {
        let names = super::parse(
            "root:x:0:0:root:/root:/bin/sh\n# x\ntoor:x:0:0::/:\nbad:x:y\nme:x:1000:1000::/:\n",
        );
        assert_eq!(names.get(&0).unwrap(), "root");
        assert_eq!(names.get(&1000).unwrap(), "me");
        assert_eq!(names.len(), 2);
    }
}
