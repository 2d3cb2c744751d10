"""Label Studio's API, as far as the loop needs it."""

# The header that webhooks made by `connect` carry. Here, so that the web edge need not import the client.
WEBHOOK_HEADER = "X-Label-Studio-AL-Secret"
