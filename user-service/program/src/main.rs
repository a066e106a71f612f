//! Runs user-service.

fn main() -> std::process::ExitCode {
    common::service::main::<identity::settings::OwnSettings, _, _>(
        "user",
        identity::DEFAULTS,
        |settings, shutdown| async move {
            identity::startup::Application::build(settings, shutdown)
                .await?
                .run_until_stopped()
                .await
        },
    )
}
