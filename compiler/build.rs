//! Makes the parser from its grammar.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=src/syntax/grammar.lalrpop");
    lalrpop::Configuration::new()
        .emit_rerun_directives(true)
        .process_dir("src/syntax")
}
