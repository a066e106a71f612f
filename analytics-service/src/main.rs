//! The process: everything else is in the library.

use analytics_service::startup::Application;

fn main() -> std::process::ExitCode {
    common::service::main(
        "analytics",
        analytics_service::DEFAULTS,
        |settings, shutdown| async {
            Application::build(settings, shutdown)
                .await?
                .run_until_stopped()
                .await
        },
    )
}
