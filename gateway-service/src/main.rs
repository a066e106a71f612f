//! Runs gateway-service.

fn main() -> std::process::ExitCode {
    common::service::main::<gateway_service::OwnSettings, _, _>(
        "gateway",
        gateway_service::DEFAULTS,
        |settings, shutdown| async move {
            gateway_service::startup::Application::build(settings, shutdown)
                .await?
                .run_until_stopped()
                .await
        },
    )
}
