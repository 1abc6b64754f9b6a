//! Bearer tokens, and where new ones come from. A token never shows in `Debug` or in a log.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::error::TokenError;

/// A bearer token. Prints as `…`.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Token(String);

impl Token {
    pub(crate) fn new(text: String) -> Self {
        Self(text)
    }

    /// The secret itself, for the wire.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// The application's callback.
#[derive(Clone)]
pub(crate) struct TokenProvider(Arc<dyn Fn() -> TokenFuture + Send + Sync>);

/// What the callback returns, as this crate keeps it.
pub(crate) type TokenFuture = Pin<Box<dyn Future<Output = Result<Token, TokenError>> + Send>>;

impl TokenProvider {
    pub(crate) fn new<F, Fut, E>(callback: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<String, E>> + Send + 'static,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        Self(Arc::new(move || {
            let answer = callback();
            Box::pin(async move {
                match tokio::time::timeout(TOKEN_WITHIN, answer).await {
                    Ok(Ok(text)) => Ok(Token::new(text)),
                    Ok(Err(error)) => Err(TokenError::Failed(error.into())),
                    Err(_) => Err(TokenError::TimedOut { seconds: TOKEN_WITHIN.as_secs() }),
                }
            })
        }))
    }

    /// Asks for a new token.
    pub(crate) fn ask(&self) -> TokenFuture {
        (self.0)()
    }
}

impl fmt::Debug for TokenProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenProvider")
    }
}

/// How long a token callback may take. Later answers count as none, and the session tries again.
const TOKEN_WITHIN: Duration = Duration::from_secs(30);
