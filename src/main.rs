//! The `kinprobe` program.

fn main() -> std::process::ExitCode {
    kinprobe::cli::main()
}
