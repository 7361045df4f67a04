"""An SAE in Python 3, without a library: takes a key for another SAE, or fetches keys by their IDs (ETSI GS QKD 014).

    python3 sae.py take  URL SLAVE_SAE [NUMBER [SIZE_BITS]]     prints {"keys": [{"key_ID": ..., "key": ...}]}
    python3 sae.py fetch URL MASTER_SAE KEY_ID...

Certificate files come from the environment: SAE_CERT, SAE_KEY, KME_CA.
"""
import http.client
import json
import os
import ssl
import sys
import time
from urllib.parse import quote, urlsplit


class Kme:
    """One connection to a KME, kept over requests."""

    def __init__(self, url):
        place = urlsplit(url)
        context = ssl.create_default_context(cafile=os.environ["KME_CA"])
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_cert_chain(os.environ["SAE_CERT"], os.environ["SAE_KEY"])
        self.connection = http.client.HTTPSConnection(place.hostname, place.port or 443, context=context, timeout=10)

    def ask(self, path, body):
        """503 passes: not enough keys now, or the other KME is away. Everything else that is not 200 is for a person."""
        for attempt in range(5):
            self.connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
            answer = self.connection.getresponse()
            text = answer.read()
            if answer.status == 200:
                return json.loads(text)
            if answer.status != 503 or attempt == 4:
                raise RuntimeError(f"{answer.status} {text.decode()}")
            time.sleep(int(answer.headers.get("Retry-After", "1")))


def main(method, url, other, *rest):
    kme, keys = Kme(url), f"/api/v1/keys/{quote(other, safe='')}"
    if method == "take":
        number, size = (int(word) for word in (*rest, *("1", "256")[len(rest):]))
        print(json.dumps(kme.ask(f"{keys}/enc_keys", {"number": number, "size": size})))
    else:
        print(json.dumps(kme.ask(f"{keys}/dec_keys", {"key_IDs": [{"key_ID": key} for key in rest]})))


if __name__ == "__main__":
    if len(sys.argv) < 4 or sys.argv[1] not in ("take", "fetch"):
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except (OSError, RuntimeError, http.client.HTTPException) as error:
        sys.exit(str(error))
