//! Runs user-service.

fn main() -> std::process::ExitCode {
    common::service::main::<user_service::settings::OwnSettings, _, _>(
        "user",
        user_service::DEFAULTS,
        |settings, shutdown| async move {
            user_service::startup::Application::build(settings, shutdown)
                .await?
                .run_until_stopped()
                .await
        },
    )
}
