@echo off
rem Builds Maru and starts every service on this machine. Arguments go to `maru up`.
setlocal
set "ROOT=%~dp0.."

where cargo >nul 2>nul
if errorlevel 1 set "PATH=%USERPROFILE%\.cargo\bin;%PATH%"
where cargo >nul 2>nul
if errorlevel 1 (
    echo start-microservices: cargo is missing; install Rust from https://rustup.rs 1>&2
    exit /b 1
)

set "TARGET=%ROOT%\target"
if defined CARGO_TARGET_DIR set "TARGET=%CARGO_TARGET_DIR%"

set "DATA=data"
if defined MARU_DATA set "DATA=%MARU_DATA%"
if not exist "%DATA%" mkdir "%DATA%" 2>nul
type nul > "%DATA%\.write-check" 2>nul
if not exist "%DATA%\.write-check" (
    echo start-microservices: cannot write to the data folder %DATA%; set MARU_DATA to another 1>&2
    exit /b 1
)
del "%DATA%\.write-check"

cargo build --manifest-path "%ROOT%\Cargo.toml" --release --locked --bins
if errorlevel 1 (
    echo start-microservices: the build failed 1>&2
    exit /b 1
)
"%TARGET%\release\maru.exe" up %*
exit /b %ERRORLEVEL%
