//! The program: settings, then the service until it is told to stop.

fn main() -> std::process::ExitCode {
    common::service::main::<order_service::OwnSettings, _, _>(
        "order",
        order_service::DEFAULTS,
        |settings, shutdown| async move {
            let application =
                order_service::startup::Application::build(settings, shutdown).await?;
            application.run_until_stopped().await
        },
    )
}
