//! A connection to publish on: what it says is stored, is stored.

use std::time::Duration;

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::ShortString;
use lapin::{BasicProperties, Channel, Confirmation, Connection};
use tokio::time::timeout;

use super::brokers::Brokers;
use super::failure::Failure;
use super::names::short;

/// An open connection with confirms on.
pub(crate) struct Outlet {
    connection: Connection,
    channel: Channel,
}

impl Outlet {
    /// Connects under a name that the broker shows.
    pub(crate) async fn open(brokers: &mut Brokers, name: &str) -> Result<Self, Failure> {
        let connection = brokers.connect(name).await?;
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok(Self { connection, channel })
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.connection.status().connected()
    }

    /// Publishes and waits until the broker has stored the message. One that came back is a failure, although it counts as confirmed.
    pub(crate) async fn publish(
        &self,
        exchange: &ShortString,
        key: &ShortString,
        body: &[u8],
        properties: BasicProperties,
    ) -> Result<(), Failure> {
        let options = BasicPublishOptions { mandatory: true, immediate: false };
        let confirmed = async { self.channel.basic_publish(exchange.clone(), key.clone(), options, body, properties).await?.await };
        match timeout(CONFIRM_WITHIN, confirmed).await {
            Err(_) => Err(Failure::Away("the broker did not confirm: it may be blocking publishers".to_owned())),
            Ok(Err(error)) => Err(error.into()),
            Ok(Ok(Confirmation::Ack(None) | Confirmation::NotRequested)) => Ok(()),
            Ok(Ok(Confirmation::Ack(Some(returned)) | Confirmation::Nack(Some(returned)))) => {
                Err(Failure::Away(format!("the broker returned the message: {}", returned.reply_text)))
            }
            Ok(Ok(Confirmation::Nack(None))) => Err(Failure::Away("the broker did not store the message".to_owned())),
        }
    }
}

/// Properties that say what a body is, as its publisher said it.
pub(crate) fn content_properties(content_type: Option<&str>, content_encoding: Option<&str>) -> BasicProperties {
    let mut properties = BasicProperties::default();
    if let Some(content_type) = content_type {
        properties = properties.with_content_type(short(content_type));
    }
    if let Some(content_encoding) = content_encoding {
        properties = properties.with_content_encoding(short(content_encoding));
    }
    properties
}

/// Time for a message to be stored. A blocked broker takes longer; whoever publishes tries again.
const CONFIRM_WITHIN: Duration = Duration::from_secs(5);
