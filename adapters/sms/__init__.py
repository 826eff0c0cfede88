"""SMS senders: one file per sender, each an implementation of port `SmsSender`."""
