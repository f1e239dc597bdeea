"""EDI X12 with a third-party logistics provider: warehouse sets over a folder or SFTP."""
