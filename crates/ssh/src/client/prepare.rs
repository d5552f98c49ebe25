use super::{ClientOptions, Fault, system};

/// Logs in once before anything else is on the screen: where nobody has to be asked, in silence; else, if there is a
/// `terminal`, `ssh` asks there (whether the server's key is right, for a passphrase).
///
/// # Errors
/// What keeps later sessions, which ask nobody, from standing. Faults that may pass by themselves are left to
/// [`start`](super::start), and so is all that the built-in client meets.
pub async fn prepare(options: &ClientOptions, terminal: bool) -> Result<(), Fault> {
    let Some(program) = system::program(options) else { return Ok(()) };
    let asks = |fault: &Fault| matches!(fault, Fault::HostKeyUnknown | Fault::Denied(_));
    match system::login(&program, options, true).await {
        Ok(_) => Ok(()),
        Err(fault) if asks(&fault) && terminal => {
            let method = system::login(&program, options, false).await?;
            match system::login(&program, options, true).await {
                Err(Fault::Denied(_)) if method == "publickey" => Err(Fault::Passphrase),
                Err(Fault::Denied(_)) => Err(Fault::PasswordOnly),
                Err(fault) if fault.lasts() => Err(fault),
                _ => Ok(()),
            }
        }
        Err(fault) if fault.lasts() => Err(fault),
        Err(_) => Ok(()),
    }
}
