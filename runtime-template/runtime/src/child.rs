//! `-c CMD` → a process that waits before its program starts until everything is attached.

use std::ffi::{CStr, CString, OsStr, OsString};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::target::c_string;
use crate::{Context, Error};

/// The child, held back until [`Child::release`].
pub struct Child {
    pub pid: i32,
    /// The command's first word.
    pub program: String,
    gate: Option<File>,
    failure: File,
    ended: bool,
}

/// Forks the child. The process has no other threads yet, so that the child may allocate. Its program is looked up before:
/// one that isn't there is an error here, and the child executes no more than the program that is.
pub fn start(command: &str) -> Result<Child, Error> {
    let words = split(command)?;
    let program = words.first().cloned().unwrap_or_default();
    let files = files(&program, std::env::var_os("PATH"))
        .map_err(|error| Error::with_source(format!("-c: run `{program}`"), error))?;
    let arguments: Vec<CString> = words.into_iter().map(c_string).collect::<Result<_, _>>()?;
    let mut pointers: Vec<_> = arguments.iter().map(|argument| argument.as_ptr()).collect();
    pointers.push(std::ptr::null());
    let (gate_out, gate) = pipe()?;
    let (failure, failure_in) = pipe()?;
    // SAFETY: one thread; the child calls only async-signal-safe functions.
    let pid = unsafe { libc::fork() };
    if pid < 0 {
        return Err(Error::last_os("-c: fork"));
    }
    if pid == 0 {
        // SAFETY: only async-signal-safe calls; the pointers are of live NUL-terminated strings, ended by null.
        unsafe {
            libc::close(gate.as_raw_fd());
            let mut byte = 0u8;
            // End of file: the tracer gave up.
            if libc::read(gate_out.as_raw_fd(), (&raw mut byte).cast(), 1) != 1 {
                libc::_exit(127);
            }
            libc::signal(libc::SIGPIPE, libc::SIG_DFL);
            let mut error = 0;
            for file in &files {
                // A path with a slash is executed as it is; a script without `#!` is the shell's.
                libc::execvp(file.as_ptr(), pointers.as_ptr());
                error = *libc::__errno_location();
                if !LOOK_ON.contains(&error) {
                    break;
                }
            }
            let error = error.to_ne_bytes();
            libc::write(failure_in.as_raw_fd(), error.as_ptr().cast(), error.len());
            libc::_exit(127);
        }
    }
    Ok(Child {
        pid,
        program,
        gate: Some(gate.into()),
        failure: failure.into(),
        ended: false,
    })
}

impl Child {
    /// Lets the program start; an error where it can't be executed.
    pub fn release(&mut self) -> Result<(), Error> {
        if let Some(mut gate) = self.gate.take() {
            gate.write_all(&[1]).context(|| "-c: start the child")?;
        }
        let mut code = [0; 4];
        // Closed by a successful exec; the child holds the only other end.
        if self
            .failure
            .read(&mut code)
            .is_ok_and(|count| count == code.len())
        {
            let source = std::io::Error::from_raw_os_error(i32::from_ne_bytes(code));
            return Err(Error::with_source(
                format!("-c: run `{}`", self.program),
                source,
            ));
        }
        Ok(())
    }

    /// The child has been seen to end: what it ended with, for the user.
    pub fn reap(&mut self) -> Option<String> {
        let mut status = 0;
        // SAFETY: our own child; `status` is a valid place.
        if unsafe { libc::waitpid(self.pid, &mut status, libc::WNOHANG) } != self.pid {
            return None;
        }
        self.ended = true;
        if libc::WIFSIGNALED(status) {
            return Some(format!(
                "the child was killed by signal {}",
                libc::WTERMSIG(status)
            ));
        }
        match libc::WEXITSTATUS(status) {
            0 => None,
            code => Some(format!("the child exited with status {code}")),
        }
    }
}

impl Drop for Child {
    /// A child that still runs is asked to end.
    fn drop(&mut self) {
        if !self.ended {
            // SAFETY: our own child, not reaped yet, so the pid is still its own.
            unsafe { libc::kill(self.pid, libc::SIGTERM) };
        }
    }
}

/// Errors of a file after which the next directory of PATH is looked at, as execvp(3) does.
const LOOK_ON: [libc::c_int; 6] = [
    libc::EACCES,
    libc::ENOENT,
    libc::ENOTDIR,
    libc::ESTALE,
    libc::ENODEV,
    libc::ETIMEDOUT,
];

/// The files that a program's name may mean, each a path with a slash: the name itself where it has one, else what is
/// in a directory of PATH and may be executed. Nearly always one; the next is for a script whose interpreter is missing.
fn files(program: &str, search: Option<OsString>) -> std::io::Result<Vec<CString>> {
    let not_found = || std::io::Error::from_raw_os_error(libc::ENOENT);
    if program.contains('/') {
        let file = CString::new(program)?;
        may_execute(&file)?;
        return Ok(vec![file]);
    }
    if program.is_empty() {
        return Err(not_found());
    }
    // What confstr(_CS_PATH) says.
    let search = search.unwrap_or_else(|| "/bin:/usr/bin".into());
    let mut found = Vec::new();
    let mut denied = None;
    for directory in search.as_bytes().split(|byte| *byte == b':') {
        let directory = if directory.is_empty() {
            b"."
        } else {
            directory
        };
        let file = CString::new([directory, b"/", program.as_bytes()].concat())?;
        match may_execute(&file) {
            Ok(()) => found.push(file),
            Err(error) if error.raw_os_error() == Some(libc::EACCES) => denied = Some(error),
            Err(_) => {}
        }
    }
    match found.is_empty() {
        true => Err(denied.unwrap_or_else(not_found)),
        false => Ok(found),
    }
}

/// Whether execve would begin with the file.
fn may_execute(file: &CStr) -> std::io::Result<()> {
    let path = Path::new(OsStr::from_bytes(file.to_bytes()));
    if !std::fs::metadata(path)?.is_file() {
        return Err(std::io::Error::from_raw_os_error(libc::EACCES));
    }
    // SAFETY: a NUL-terminated path.
    match unsafe { libc::faccessat(libc::AT_FDCWD, file.as_ptr(), libc::X_OK, libc::AT_EACCESS) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

fn pipe() -> Result<(OwnedFd, OwnedFd), Error> {
    let mut ends = [0; 2];
    // SAFETY: room for two descriptors.
    if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) } < 0 {
        return Err(Error::last_os("-c: make a pipe"));
    }
    // SAFETY: the call succeeded, so both are open and ours alone.
    Ok(unsafe { (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) })
}

/// Words of a command: separated by spaces, with single and double quotes and backslashes as a shell reads them.
/// Nothing is expanded; for that, `-c "sh -c '…'"`.
fn split(command: &str) -> Result<Vec<String>, Error> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut characters = command.chars();
    while let Some(c) = characters.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None | Some('"'), '\\') => word.get_or_insert_default().extend(characters.next()),
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return Err(Error::usage("-c: a quote is not closed"));
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::{files, split};
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn words() {
        assert_eq!(split("ls -l").unwrap(), ["ls", "-l"]);
        assert_eq!(
            split(" sh -c 'a b' \"c \\\" d\" e\\ f '' ").unwrap(),
            ["sh", "-c", "a b", "c \" d", "e f", ""]
        );
        assert!(split("sh -c 'x").is_err());
    }
    /// As execvp(3): a directory and a file that may not be executed are passed over, an empty part is this directory.
    #[test]
    fn programs_are_looked_up() {
        let within = std::env::temp_dir().join(format!("btc-child-{}", std::process::id()));
        let file = |place: &str, mode| {
            let path = within.join(place);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, "").unwrap();
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        };
        file("a/tool", 0o644);
        file("b/tool/inside", 0o755);
        file("c/tool", 0o755);
        file("d/tool", 0o755);
        file("a/text", 0o644);
        let root = within.to_str().unwrap().to_owned();
        let search = format!("/nowhere:{root}/a:{root}/b:{root}/c:{root}/d");
        let found = |name: &str| {
            let found = files(name, Some(search.clone().into()));
            found.map_err(|error| error.raw_os_error().unwrap())
        };
        let paths = [format!("{root}/c/tool"), format!("{root}/d/tool")];
        let paths = paths.map(|path| std::ffi::CString::new(path).unwrap());
        assert_eq!(found("tool"), Ok(paths.to_vec()));
        assert_eq!(found("text"), Err(libc::EACCES));
        assert_eq!(found("missing"), Err(libc::ENOENT));
        assert_eq!(found(""), Err(libc::ENOENT));
        let named = format!("{root}/a/tool");
        assert_eq!(found(&named), Err(libc::EACCES));
        assert_eq!(found("/no/where"), Err(libc::ENOENT));
        assert_eq!(files("sh", None).unwrap()[0], c"/bin/sh".to_owned());
        let here = files("Cargo.toml", Some(":/bin".into()));
        assert_eq!(here.unwrap_err().raw_os_error(), Some(libc::EACCES));
        std::fs::remove_dir_all(&within).unwrap();
    }
}
