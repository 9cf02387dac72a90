//! The executable `oodseg`.

use std::process::ExitCode;

#[allow(unsafe_code)] // settings of the process, which networks need before there are threads
fn main() -> ExitCode {
    let args = oodseg::parse(std::env::args_os());
    if args.runs_network() {
        // SAFETY: reading the arguments starts no threads, and nothing else was done yet
        unsafe { seg_ops::prepare_process() };
    }
    oodseg::main(args)
}
