//! The `kinprobe` program.

fn main() -> std::process::ExitCode {
    told_of_its_threads();
    kinprobe::cli::main()
}

/// Says how many threads there are, where nobody has: candle asks at every operation, and reads all of
/// `/proc/cpuinfo` for an answer each time. For small models that takes longer than the operation.
#[allow(unsafe_code)]
fn told_of_its_threads() {
    const THREADS: &str = "RAYON_NUM_THREADS";
    if std::env::var_os(THREADS).is_some() {
        return;
    }
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    // SAFETY: the first statement of the program, when there is no other thread that could read the environment.
    unsafe { std::env::set_var(THREADS, threads.to_string()) };
}
