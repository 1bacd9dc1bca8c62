//! The `mirrorvip` command. Everything it does is in the library; see [`mirrorvip::cli`] for the verbs.

use std::process::ExitCode;

fn main() -> ExitCode {
    // First of all: until then a signal that means something to a daemon kills it.
    mirrorvip::cli::catch_signals();
    // A panic in any thread or task ends the process: half a daemon is worse than none, and the service
    // manager restarts it. The hook prints first what the default hook prints.
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        print(panic);
        std::process::abort();
    }));
    mirrorvip::cli::main()
}
