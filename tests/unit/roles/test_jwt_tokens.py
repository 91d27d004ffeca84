"""What verifies bearer tokens: real keys and real tokens, and those that somebody made up."""
from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import jwt_tokens
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt_tokens import FRESH, PAUSE, Issuer, Key, Keys, Refused, Settings, Verifier, key_set
from loopback import Authority, Server, reply
from tokens import AUDIENCE, ISSUER, NOW, Signer, base64url, unsigned, with_mac

RSA, OTHER, EC = Signer("one"), Signer("other"), Signer.on_curve("curve", ec.SECP256R1())
ACCOUNT: dict[str, Any] = {"iss": "https://cluster", "sub": "system:serviceaccount:airflow:worker", "preferred_username": None}
TRUSTED = [{"issuer": ISSUER, "audience": AUDIENCE}, {"issuer": "https://cluster", "audience": AUDIENCE, "kubernetes": True}]
ROLES = [
    {"value": "/risk", "role": "editor"}, {"value": "/risk", "role": "reader", "workspace": "other"},
    {"value": "system:serviceaccounts:airflow", "role": "writer"}, {"value": "system:serviceaccount:airflow:worker", "role": "worker"},
]  # fmt: skip


class Source:
    """What an issuer publishes; None cannot be reached."""

    def __init__(self, *signers: Signer) -> None:
        self.signers: tuple[Signer, ...] | None = signers
        self.asked = 0

    def __call__(self) -> Any:
        self.asked += 1
        if self.signers is None:
            raise OSError("no route to host")
        return {"keys": [each.jwk for each in self.signers]}


class Clock:
    """Time that passes when it is told."""

    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def verifier(*signers: Signer, now: Callable[[], float] = lambda: NOW, **settings: Any) -> Verifier:
    source = Source(*(signers or (RSA, EC)))
    given: dict[str, Any] = {"issuers": TRUSTED, "roles": ROLES, "administrator": "admin", **settings}
    return Verifier(Settings(**given), lambda each: Keys(each.issuer, source), now)


def refusal(token: str, **given: Any) -> str:
    with pytest.raises(Refused) as refused:
        verifier(**given).identity(token)
    assert refused.value.status == 401
    return refused.value.message


@pytest.mark.parametrize(("signer", "algorithm"), [
    (RSA, "RS256"), (RSA, "RS512"), (EC, "ES256"), (Signer.on_curve("c", ec.SECP384R1()), "ES384"), (Signer.on_curve("c", ec.SECP521R1()), "ES512"),
])
def test_a_token_is_for_the_person_and_the_roles_of_its_groups(signer: Signer, algorithm: str) -> None:
    token = signer.token(algorithm, groups=["/risk", "/lunch"])
    found = verifier(signer, algorithms=[algorithm]).identity(token)
    assert found.username == "ann"
    assert found.roles == {("default", "editor"), ("other", "reader")}
    # One other bit anywhere, and it is nobody's.
    header, claims, signature = token.split(".")
    flipped = base64.urlsafe_b64decode(signature + "==")
    flipped = bytes([flipped[0] ^ 1]) + flipped[1:]
    for forged in (f"{header}.{claims}.{base64url(flipped)}", f"{header}.{unsigned({}, {}).split('.')[1]}.{signature}", f"{header}.{claims}."):
        assert "not signed by a key" in refusal(forged, algorithms=[algorithm])


def test_a_service_account_has_the_roles_of_its_namespace_and_its_own() -> None:
    found = verifier().identity(RSA.token(**ACCOUNT, aud=["https://cluster", AUDIENCE]))
    assert found.username == "system:serviceaccount:airflow:worker"
    assert found.roles == {("default", "writer"), ("default", "worker")}


def test_the_signatures_of_rfc_7515_are_verified() -> None:
    """Appendices A.2 and A.3: made by somebody else."""
    claims = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
    rsa_key = {"kty": "RSA", "e": "AQAB", "n": (
        "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ4"
        "7soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmo"
        "udF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"
    )}  # fmt: skip
    rsa_signature = (
        "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_"
        "nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8n"
        "p6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"
    )
    ec_key = {"kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}
    ec_signature = "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
    of_rsa, of_ec = (rsa_key, "RS256", "eyJhbGciOiJSUzI1NiJ9", rsa_signature), (ec_key, "ES256", "eyJhbGciOiJFUzI1NiJ9", ec_signature)
    for key, algorithm, header, signature in (of_rsa, of_ec):
        signed, raw = f"{header}.{claims}".encode(), base64.urlsafe_b64decode(signature + "==")
        assert Key.of(key).verifies(algorithm, signed, raw)
        assert not Key.of(key).verifies(algorithm, signed + b"x", raw)
        assert not Key.of(key).verifies("ES256" if algorithm == "RS256" else "RS256", signed, raw)


HOSTILE: list[tuple[str, str]] = [
    (f"{unsigned({'alg': 'none', 'kid': 'one'}, {})}.", "not signed by one of"),
    (f"{unsigned({'alg': 'NONE', 'kid': 'one'}, {})}.AA", "not signed by one of"),
    (f"{unsigned({'alg': None, 'kid': 'one'}, {})}.AA", "not signed by one of"),
    (f"{unsigned({'alg': ['RS256'], 'kid': 'one'}, {})}.AA", "not signed by one of"),
    (with_mac(RSA.pem, "one"), "not signed by one of"),
    (with_mac(json.dumps(RSA.jwk).encode(), "one"), "not signed by one of"),
    (RSA.token("RS512"), "not signed by one of"),
    (RSA.token(header={"alg": "ES256"}), "not signed by a key"),
    (RSA.token(header={"kid": "curve"}), "not signed by a key"),
    (OTHER.token(), "not signed by a key"),
    (OTHER.token(header={"kid": "one"}), "not signed by a key"),
    (OTHER.token(header={"kid": None}), "not signed by a key"),
    (OTHER.token(header={"kid": "one", "jwk": OTHER.jwk, "jku": "https://attacker.example/jwks"}), "not signed by a key"),
    (RSA.token(header={"kid": "../../etc/passwd"}), "not signed by a key"),
    (RSA.token(header={"kid": "one' OR 1=1 --"}), "not signed by a key"),
    (RSA.token(header={"kid": ["one"]}), "a header that is not understood"),
    (RSA.token(header={"crit": ["exp"]}), "a header that is not understood"),
    (RSA.token(exp=NOW - 31), "has expired"),
    (RSA.token(exp=None), "does not say until when"),
    (RSA.token(exp="9999999999"), "does not say until when"),
    (RSA.token(exp=True), "does not say until when"),
    (RSA.token(exp=1e300), "does not say until when"),
    (RSA.token(exp=float("nan")), "cannot be read"),
    (RSA.token(exp=float("inf")), "cannot be read"),
    (RSA.token(nbf=NOW + 90), "not valid yet"),
    (RSA.token(iat=NOW + 90), "not valid yet"),
    (RSA.token(iss="https://attacker.example"), "issuer is not trusted"),
    (RSA.token(iss=f"{ISSUER}/"), "issuer is not trusted"),
    (RSA.token(iss=[ISSUER]), "issuer is not trusted"),
    (RSA.token(iss=None), "issuer is not trusted"),
    (RSA.token(aud="account"), "not for the audience mlflow"),
    (RSA.token(aud=["account", "mlflow2", ["mlflow"]]), "not for the audience mlflow"),
    (RSA.token(aud={"mlflow": True}), "not for the audience mlflow"),
    (RSA.token(aud=None), "not for the audience mlflow"),
    (RSA.token(preferred_username=None), "no claim preferred_username"),
    (RSA.token(preferred_username=""), "no claim preferred_username"),
    (RSA.token(preferred_username=["ann"]), "no claim preferred_username"),
    (RSA.token(preferred_username="a" * 256), "no claim preferred_username"),
    (RSA.token(preferred_username="ann\n"), "no claim preferred_username"),
    (RSA.token(preferred_username="admin"), "nobody becomes MLflow's user admin"),
    (RSA.token(preferred_username="anonymous"), "nobody becomes MLflow's user anonymous"),
    (RSA.token(preferred_username="system:serviceaccount:airflow:worker"), "only names within the cluster"),
    (RSA.token(**ACCOUNT | {"sub": "system:serviceaccount:airflow"}), "not that of a service account"),
    (RSA.token(**ACCOUNT | {"sub": "system:serviceaccount::worker"}), "not that of a service account"),
    (RSA.token(**ACCOUNT | {"sub": "system:node:one"}), "not that of a service account"),
    (RSA.token(**ACCOUNT | {"sub": "ann"}), "not that of a service account"),
    ("", "not one signed"),
    ("a.b", "not one signed"),
    ("a.b.c.d", "not one signed"),
    (f"{RSA.token()} Bearer {RSA.token()}", "not one signed"),
    (f"{RSA.token()}\n", "not one signed"),
    ("a" * 16385, "longer than 16384 bytes"),
    (RSA.token(filler="x" * 16384), "longer than 16384 bytes"),
    ("a.b.c", "cannot be read"),
    (f"{base64url(b'[]')}.{base64url(b'[]')}.AA", "cannot be read"),
    (f"{base64url(b'[' * 5000)}.e30.AA", "cannot be read"),
    (f"{base64url(bytes([255, 254]))}.e30.AA", "cannot be read"),
    (f"{base64url(b'{0: ' + b'9' * 5000 + b'}')}.e30.AA", "cannot be read"),
]


@pytest.mark.parametrize(("token", "why"), HOSTILE, ids=[f"{number}-{why}" for number, (_token, why) in enumerate(HOSTILE)])
def test_a_token_that_is_not_right_is_refused(token: str, why: str) -> None:
    message = refusal(token)
    assert why in message
    assert not token or token not in message


def test_what_the_last_test_changed_one_by_one_is_otherwise_accepted() -> None:
    assert verifier().identity(RSA.token(nbf=NOW - 1)).username == "ann"
    assert verifier().identity(RSA.token(aud=["account", AUDIENCE])).username == "ann"
    assert verifier().identity(RSA.token(header={"kid": None})).username == "ann"
    assert verifier().identity(RSA.token(groups="/risk")).roles == {("default", "editor"), ("other", "reader")}


def test_clocks_may_differ_by_half_a_minute_and_no_more() -> None:
    token = RSA.token(iat=1000, nbf=1000, exp=1300)
    for now, is_valid in ((969, False), (971, True), (1329, True), (1330, False)):
        clock = Clock(now)
        if is_valid:
            assert verifier(now=clock).identity(token).expires == 1330
        else:
            assert refusal(token, now=clock)


def test_groups_that_only_the_cluster_has_are_not_believed_of_others() -> None:
    found = verifier().identity(RSA.token(groups=["system:serviceaccounts:airflow", 7, "/risk"]))
    assert ("default", "writer") not in found.roles
    assert ("default", "editor") in found.roles


def test_an_issuer_may_be_trusted_for_two_audiences_with_claims_of_their_own() -> None:
    issuers = [*TRUSTED, {"issuer": ISSUER, "audience": "batch", "username_claim": "azp", "groups_claim": "realm_access.roles"}]
    found = verifier(issuers=issuers).identity(RSA.token(aud=["batch"], azp="trainer", realm_access={"roles": ["/risk"]}))
    assert (found.username, len(found.roles)) == ("trainer", 2)
    assert verifier(issuers=issuers).identity(RSA.token(azp="trainer")).username == "ann"


# Keys


@pytest.mark.parametrize("change", [
    {"use": "enc"}, {"kty": "oct", "k": "c2VjcmV0"}, {"kty": "EC", "crv": "secp256k1"}, {"n": None}, {"n": "!"}, {"e": "AA"}, {"alg": "RSA-OAEP"},
    {"n": Signer("short", rsa.generate_private_key(65537, 1024)).jwk["n"]},
])
def test_keys_that_do_not_sign_are_left_out(change: dict[str, Any]) -> None:
    wrong = {**RSA.jwk, "kid": "wrong", **change}
    assert not any(key.digests for key in key_set({"keys": [wrong, EC.jwk]}).get("wrong", []))
    assert key_set({"keys": [wrong, EC.jwk]})["curve"][0].digests.keys() == {"ES256"}


@pytest.mark.parametrize("found", [None, [], {}, {"keys": None}, {"keys": []}, {"keys": ["text"]}, {"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}])
def test_a_set_without_a_key_takes_the_place_of_none(found: Any) -> None:
    with pytest.raises(ValueError, match="no key"):
        key_set(found)


def test_a_new_key_is_found_without_a_restart_and_an_old_one_forgotten() -> None:
    source, clock = Source(RSA), Clock(1000)
    keys = Keys(ISSUER, source, clock)
    assert len(keys.find("one")) == 1
    source.signers = (OTHER,)
    clock.now += PAUSE
    assert len(keys.find("other")) == 1
    assert keys.find("one") == []


def test_unknown_keys_are_not_asked_for_at_each_request() -> None:
    source, clock = Source(RSA), Clock(1000)
    keys = Keys(ISSUER, source, clock)
    keys.find("one")
    for number in range(100):
        assert keys.find(f"made-up-{number}") == []
    assert source.asked == 1
    clock.now += PAUSE
    for number in range(100):
        assert keys.find(f"made-up-{number}") == []
    assert source.asked == 2


def test_keys_go_on_when_their_issuer_is_down() -> None:
    source, clock = Source(RSA), Clock(1000)
    keys = Keys(ISSUER, source, clock)
    keys.find("one")
    source.signers = None
    for _hour in range(48):
        clock.now += 3600
        assert len(keys.find("one")) == 1
        assert len(keys.find("one")) == 1
    assert source.asked == 49
    source.signers = (OTHER,)
    clock.now += FRESH + 1
    assert keys.find("one") == []


def test_without_any_key_it_is_not_the_caller_who_is_wrong() -> None:
    source, clock = Source(RSA), Clock(1000)
    source.signers = None
    keys = Keys(ISSUER, source, clock)
    for _again in range(3):
        with pytest.raises(Refused, match="cannot fetch the keys of https://login") as refused:
            keys.find("one")
        assert refused.value.status == 503
    assert source.asked == 1
    source.signers, clock.now = (RSA,), clock.now + PAUSE
    assert len(keys.find("one")) == 1


def test_requests_that_come_at_once_fetch_once_and_nobody_waits_for_a_refresh() -> None:
    signers, clock, may_answer, asked = [RSA], Clock(1000), threading.Event(), threading.Semaphore(0)
    fetches: list[int] = []

    def slow() -> Any:
        fetches.append(1)
        asked.release()
        assert may_answer.wait(60)
        return {"keys": [each.jwk for each in signers]}

    keys = Keys(ISSUER, slow, clock)
    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(len(keys.find("one")))) for _each in range(20)]
    for thread in threads:
        thread.start()
    assert asked.acquire(timeout=60)
    may_answer.set()
    for thread in threads:
        thread.join(60)
    assert (found, len(fetches)) == ([1] * 20, 1)
    # One refreshes, and hangs: the others have the old keys at once.
    may_answer.clear()
    clock.now += FRESH + 1
    refreshing = threading.Thread(target=lambda: found.append(len(keys.find("one"))))
    refreshing.start()
    assert asked.acquire(timeout=60)
    assert len(keys.find("one")) == 1
    assert len(fetches) == 2
    may_answer.set()
    refreshing.join(60)
    assert len(found) == 21


# Over the network


def published(answers: dict[str, Any]) -> Server:
    """A server with an answer for each path."""

    def answer(handler: BaseHTTPRequestHandler, script: Server) -> None:
        found = answers.get(handler.path)
        (found if callable(found) else reply(404 if found is None else 200, found))(handler, script)

    return Server([answer])


def test_keys_are_fetched_by_discovery_over_verified_tls(tmp_path: Path) -> None:
    authority, answers = Authority(tmp_path), dict[str, Any]()
    with published(answers).running(authority.context("127.0.0.1")) as server:
        here = f"https://127.0.0.1:{server.port}"
        answers |= {"/r/.well-known/openid-configuration": {"issuer": f"{here}/r", "jwks_uri": f"{here}/certs"}, "/certs": {"keys": [RSA.jwk]}}
        ca = authority.path.read_text()
        trusted = Issuer(f"{here}/r", AUDIENCE, ca=ca)
        assert key_set(trusted.fetch()).keys() == {"one"}
        assert [each.headers.get("authorization") for each in server.requests] == [None, None]
        with pytest.raises(OSError, match="certificate verify failed"):
            Issuer(f"{here}/r", AUDIENCE).fetch()
        with pytest.raises(OSError, match="certificate verify failed"):
            Issuer(f"https://localhost:{server.port}/r", AUDIENCE, ca=ca).fetch()
        answers["/r/.well-known/openid-configuration"] = {"issuer": here, "jwks_uri": f"{here}/certs"}
        with pytest.raises(ValueError, match="its discovery document is that of"):
            trusted.fetch()


def test_keys_of_the_cluster_are_asked_for_with_the_token_of_the_pod(tmp_path: Path) -> None:
    authority, answers = Authority(tmp_path), {"/openid/v1/jwks": {"keys": [RSA.jwk]}}
    (tmp_path / "token").write_text("the-token\n")
    with published(answers).running(authority.context("127.0.0.1")) as server:
        url = f"https://127.0.0.1:{server.port}/openid/v1/jwks"
        files = {"ca_file": str(authority.path), "token_file": str(tmp_path / "token")}
        found = Issuer("https://cluster", AUDIENCE, jwks_url=url, kubernetes=True, **files).fetch()
        assert key_set(found).keys() == {"one"}
        # It is read anew each time, since Kubernetes replaces it.
        (tmp_path / "token").write_text("the-next-token\n")
        Issuer("https://cluster", AUDIENCE, jwks_url=url, kubernetes=True, **files).fetch()
        assert [each.headers["authorization"] for each in server.requests] == ["Bearer the-token", "Bearer the-next-token"]


@pytest.mark.parametrize(("answer", "why"), [
    (reply(302, {}, Location="/elsewhere"), "HTTP Error 302"),
    (reply(200, "<html>"), "Expecting value"),
    (reply(200, []), "does not answer with a JSON object"),
    (reply(200, "[" * 100000), "recursion"),
    (reply(200, "x" * (jwt_tokens.LONGEST_ANSWER + 1)), "is longer than"),
    (reply(500, {}), "HTTP Error 500"),
])
def test_an_answer_that_is_no_key_set_leaves_the_keys(answer: Any, why: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    authority, clock = Authority(tmp_path), Clock(1000)
    answers: dict[str, Any] = {"/certs": {"keys": [RSA.jwk]}, "/elsewhere": {"keys": [OTHER.jwk]}}
    with published(answers).running(authority.context("127.0.0.1")) as server:
        issuer = Issuer(ISSUER, AUDIENCE, jwks_url=f"https://127.0.0.1:{server.port}/certs", ca=authority.path.read_text())
        keys = Keys(ISSUER, issuer.fetch, clock)
        assert len(keys.find("one")) == 1
        answers["/certs"] = answer
        clock.now += FRESH + 1
        assert len(keys.find("one")) == 1
        assert keys.find("other") == []
    assert len(server.requests) == 2
    assert f"the keys of {ISSUER} cannot be fetched" in caplog.text
    assert why in caplog.text


@pytest.mark.parametrize("url", [
    "http://login.example/certs", "http://127.0.0.1.example/certs", "ftp://127.0.0.1/certs", "file:///etc/passwd", "None",
])
def test_keys_do_not_come_over_plain_http_or_from_files(url: str) -> None:
    with pytest.raises(ValueError, match="is not https"):
        Issuer(ISSUER, AUDIENCE, jwks_url=url).fetch()
