//! `-c CMD` → a process that waits before its program starts until everything is attached.

use std::ffi::CString;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

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

/// Forks the child. The process has no other threads yet, so that the child may allocate.
pub fn start(command: &str) -> Result<Child, Error> {
    let words = split(command)?;
    let program = words.first().cloned().unwrap_or_default();
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
            libc::execvp(pointers[0], pointers.as_ptr());
            let error = std::io::Error::last_os_error()
                .raw_os_error()
                .unwrap_or(0)
                .to_ne_bytes();
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
    use super::split;

    #[test]
    fn words() {
        assert_eq!(split("ls -l").unwrap(), ["ls", "-l"]);
        assert_eq!(
            split(" sh -c 'a b' \"c \\\" d\" e\\ f '' ").unwrap(),
            ["sh", "-c", "a b", "c \" d", "e f", ""]
        );
        assert!(split("sh -c 'x").is_err());
    }
}
