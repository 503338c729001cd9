//! Arguments, signals and environment in; an exit code out.

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::Parser as _;
use reconcile::cli;
use reconcile::error::Exit;
use reconcile::host::Operator;
use reconcile::host::ssh::Environment;

fn main() -> ExitCode {
    let arguments = match cli::Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let exit = if error.use_stderr() {
                Exit::Usage
            } else {
                Exit::Done
            };
            // Nobody left to tell if this cannot be printed.
            error.print().ok();
            return ExitCode::from(exit.code());
        }
    };
    #[cfg(feature = "failpoints")]
    arm_failpoint();
    let stop = Arc::new(AtomicBool::new(false));
    let exit = match listen(&stop) {
        Ok(()) => match cli::run(arguments, &operator(&stop)) {
            Ok(exit) => exit,
            Err(failure) => {
                let stderr = std::io::stderr();
                let colour = stderr.is_terminal()
                    && anstream::AutoStream::choice(&stderr) != anstream::ColorChoice::Never;
                stderr
                    .lock()
                    .write_all(failure.render(colour).as_bytes())
                    .ok();
                failure.exit()
            }
        },
        Err(error) => {
            writeln!(
                std::io::stderr(),
                "error: cannot listen for signals: {error}"
            )
            .ok();
            Exit::Error
        }
    };
    ExitCode::from(exit.code())
}

/// What of our surroundings a run depends on.
#[expect(
    clippy::disallowed_methods,
    reason = "main.rs is where the environment is read"
)]
fn operator(stop: &Arc<AtomicBool>) -> Operator {
    let path = |name| std::env::var_os(name).map(PathBuf::from);
    Operator {
        environment: Environment {
            home: path("HOME"),
            runtime_dir: path("XDG_RUNTIME_DIR"),
            temp_dir: path("TMPDIR"),
        },
        // The very program that runs, also after its file was replaced.
        program: PathBuf::from("/proc/self/exe"),
        base: PathBuf::new(),
        migration: None,
        stop: Arc::clone(stop),
    }
}

/// The first Ctrl-C (or SIGTERM) asks for a clean end, the second ends at once.
fn listen(stop: &Arc<AtomicBool>) -> std::io::Result<()> {
    use signal_hook::consts::{SIGINT, SIGTERM};
    for signal in [SIGINT, SIGTERM] {
        let code = i32::from(Exit::Interrupted.code());
        signal_hook::flag::register_conditional_shutdown(signal, code, Arc::clone(stop))?;
        signal_hook::flag::register(signal, Arc::clone(stop))?;
    }
    Ok(())
}

#[cfg(feature = "failpoints")]
#[expect(
    clippy::disallowed_methods,
    reason = "main.rs is where the environment is read"
)]
fn arm_failpoint() {
    if let Ok(spec) = std::env::var("RECONCILE_FAILPOINT") {
        reconcile::failpoint::arm(&spec);
    }
}
