//! Small programs made by hand, judged by the kernel's verifier where this process may load BPF.

mod answers;
mod kernel;
mod loads;
mod make;
