"""Merely list the registered models, page by page as MLflow serves them, over one kept-alive connection."""
import http.client
import json
import os
from urllib.parse import quote, urlsplit

address = urlsplit(os.environ["MLFLOW_TRACKING_URI"])
connection = http.client.HTTPConnection(address.hostname or "", address.port or 80)
token, models = "", []
while True:
    connection.request("GET", f"/api/2.0/mlflow/registered-models/search?page_token={quote(token)}")
    page = json.loads(connection.getresponse().read())
    models += page.get("registered_models", [])
    token = page.get("next_page_token", "")
    if not token:
        break
print(len(models))
