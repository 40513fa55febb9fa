"""The Storage part, behind /storage/v1: objects to read in ranges, to list, to sign, to upload and to delete.

Who may see what is simple: the service role sees all; a user who is logged in, what lies in a folder with the user's
id; nobody else anything, but what is in a public bucket or has a signed address.
"""

import json
import re
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import jwt

from tests.support.gateway.calls import Answer, Call, Refused, json_answer, storage_error
from tests.support.gateway.downloads import download
from tests.support.gateway.keys import Caller, Project, storage_caller
from tests.support.gateway.listings import folder_in, info_of, listing
from tests.support.gateway.multipart import uploaded
from tests.support.gateway.objects import Objects, StoredObject

PREFIX = "/storage/v1/"
KEY = re.compile(r"[A-Za-z0-9_/!.*'() &$=@;:+,?-]+")
READ = ("GET", "HEAD")

NO_BUCKET = storage_error(404, "Bucket not found", "Bucket not found", "NoSuchBucket")
NO_OBJECT = storage_error(404, "not_found", "Object not found", "NoSuchKey")
EXISTS = storage_error(409, "Duplicate", "The resource already exists", "KeyAlreadyExists")
NO_ROUTE = storage_error(404, "not_found", "Route not found", "NoSuchRoute", http=404)
DENIED = storage_error(403, "Unauthorized", "new row violates row-level security policy", "AccessDenied")


@dataclass(frozen=True, slots=True)
class Storage:
    """Buckets and objects, with Storage's answers."""

    project: Project
    objects: Objects
    s3: bool

    def answer(self, call: Call) -> Answer:
        """The answer to a request under /storage/v1/; raises Refused with that to one that fails."""
        try:
            kind, _, rest = call.path.removeprefix(PREFIX).partition("/")
            routes = {"object": self._object, "bucket": self._bucket}
            if kind not in routes:
                raise Refused(NO_ROUTE)
            return routes[kind](call, rest)
        except Refused as refused:
            if call.method != "HEAD":
                raise
            return Answer(refused.answer.status)

    # --- routes ------------------------------------------------------------------------------------------------------

    def _object(self, call: Call, rest: str) -> Answer:
        first, _, after = rest.partition("/")
        ways = {
            ("authenticated", True): self._get_authenticated,
            ("public", True): self._get_public,
            ("sign", True): self._get_signed,
            ("info", True): self._info,
            ("sign", False): self._sign,
            ("list", False): self._list,
        }
        way = ways.get((first, call.method in READ))
        if way:
            return way(call, after)
        if call.method in READ:
            return self._get(call, rest)
        if call.method == "DELETE":
            return self._delete(call, rest)
        if call.method in ("POST", "PUT"):
            return self._upload(call, rest)
        raise Refused(NO_ROUTE)

    def _bucket(self, call: Call, name: str) -> Answer:
        self._require_service(call)
        if call.method == "POST":
            wanted = _body(call)
            if wanted["name"] in self.objects.buckets():
                raise Refused(EXISTS)
            self.objects.make_bucket(wanted["name"], public=bool(wanted.get("public")))
            return json_answer(200, {"name": wanted["name"]})
        rows = [
            {"id": bucket, "name": bucket, "public": public, "owner": "", "created_at": None, "updated_at": None}
            for bucket, public in self.objects.buckets().items()
            if name in ("", bucket)
        ]
        if name and not rows:
            raise Refused(NO_BUCKET)
        return json_answer(200, rows[0] if name else rows)

    # --- reading -----------------------------------------------------------------------------------------------------

    def _get(self, call: Call, rest: str) -> Answer:
        """Who is not known is anonymous here, and sees no bucket."""
        try:
            caller = storage_caller(self.project, call.headers)
        except jwt.PyJWTError:
            caller = Caller("anon", {})
        if caller.role == "anon":
            raise Refused(NO_BUCKET)
        return download(call, self._visible(caller, rest), self.s3)

    def _get_authenticated(self, call: Call, rest: str) -> Answer:
        caller = self._caller(call)
        if caller.role == "anon":
            raise Refused(NO_BUCKET)
        return download(call, self._visible(caller, rest), self.s3)

    def _get_public(self, call: Call, rest: str) -> Answer:
        if not self.objects.buckets().get(rest.partition("/")[0]):
            raise Refused(NO_BUCKET)
        return download(call, self._there(rest), self.s3)

    def _get_signed(self, call: Call, rest: str) -> Answer:
        """The token is looked at when the request begins, and not while it runs."""
        try:
            claims = self.project.claims(call.asked("token") or "")
        except jwt.ExpiredSignatureError:
            message = '"exp" claim timestamp check failed'
            raise Refused(storage_error(400, "InvalidJWT", message, "InvalidJWT")) from None
        except jwt.PyJWTError as error:
            raise Refused(storage_error(400, "InvalidJWT", str(error), "InvalidJWT")) from None
        if claims.get("url") != rest:
            raise Refused(storage_error(400, "InvalidSignature", "Invalid signature", "InvalidSignature"))
        return download(call, self._there(rest), self.s3)

    def _info(self, call: Call, rest: str) -> Answer:
        caller = self._caller(call)
        return json_answer(200, info_of(self._visible(caller, rest.removeprefix("authenticated/"))))

    def _list(self, call: Call, bucket: str) -> Answer:
        """A bucket that is not there, or nothing in which the caller may see, is a page without an entry."""
        caller, wanted = self._caller(call), _body(call)
        below = self.objects.below(bucket, folder_in(wanted))
        return json_answer(200, listing([found for found in below if _may_see(caller, found.key)], wanted))

    # --- signing -----------------------------------------------------------------------------------------------------

    def _sign(self, call: Call, rest: str) -> Answer:
        caller, wanted = self._caller(call), _body(call)
        seconds = int(wanted["expiresIn"])
        if "paths" not in wanted:
            self._visible(caller, rest)
            return json_answer(200, {"signedURL": self.signed_path(rest, seconds)})
        rows = []
        for path in wanted["paths"]:
            found = self.objects.find(rest, path)
            if found and _may_see(caller, path):
                rows.append({"error": None, "path": path, "signedURL": self.signed_path(f"{rest}/{path}", seconds)})
            else:
                rows.append({"error": "Either the object does not exist or you do not have access to it",
                             "path": path, "signedURL": None})  # fmt: skip
        return json_answer(200, rows)

    def signed_path(self, place: str, seconds: float) -> str:
        """The address of BUCKET/KEY without a key, relative to /storage/v1."""
        now = time.time()
        token = self.project.signed({"url": place, "iat": int(now), "exp": int(now + seconds)})
        return f"/object/sign/{quote(place)}?token={token}"

    # --- writing -----------------------------------------------------------------------------------------------------

    def _upload(self, call: Call, rest: str) -> Answer:
        bucket, _, key = rest.partition("/")
        caller = self._caller(call)
        self._bucket_there(bucket)
        if not KEY.fullmatch(key):
            raise Refused(storage_error(400, "InvalidKey", f"Invalid key: {key}", "InvalidKey"))
        if not _may_see(caller, key):
            raise Refused(DENIED)
        there = self.objects.find(bucket, key)
        if there and call.method == "POST" and call.headers.get("x-upsert", "false").lower() != "true":
            raise Refused(EXISTS)
        if not there and call.method == "PUT":
            raise Refused(NO_OBJECT)
        file = uploaded(call)
        made = self.objects.put(
            bucket, key, file.content, content_type=file.content_type, cache_control=file.cache_control
        )
        return json_answer(200, {"Key": rest, "Id": made.version})

    def _delete(self, call: Call, rest: str) -> Answer:
        bucket, _, key = rest.partition("/")
        caller = self._caller(call)
        self._bucket_there(bucket)
        wanted = [key] if key else _body(call)["prefixes"]
        gone = [self.objects.remove(bucket, path) for path in wanted if _may_see(caller, path)]
        if not key:
            return json_answer(200, [info_of(found) for found in gone if found])
        if gone in ([], [None]):
            raise Refused(NO_OBJECT)
        return json_answer(200, {"message": "Successfully deleted"})

    # --- who, and whether it is there --------------------------------------------------------------------------------

    def _caller(self, call: Call) -> Caller:
        try:
            return storage_caller(self.project, call.headers)
        except jwt.ExpiredSignatureError:
            message = '"exp" claim timestamp check failed'
        except jwt.PyJWTError:
            message = "Invalid Compact JWS"
        raise Refused(storage_error(403, "Unauthorized", message, "AccessDenied"))

    def _require_service(self, call: Call) -> None:
        if self._caller(call).role != "service_role":
            raise Refused(DENIED)

    def _bucket_there(self, bucket: str) -> None:
        if bucket not in self.objects.buckets():
            raise Refused(NO_BUCKET)

    def _there(self, rest: str) -> StoredObject:
        bucket, _, key = rest.partition("/")
        self._bucket_there(bucket)
        found = self.objects.find(bucket, key)
        if found is None:
            raise Refused(NO_OBJECT)
        return found

    def _visible(self, caller: Caller, rest: str) -> StoredObject:
        found = self._there(rest)
        if not _may_see(caller, found.key):
            raise Refused(NO_OBJECT)
        return found


def _may_see(caller: Caller, key: str) -> bool:
    if caller.role == "service_role":
        return True
    return caller.role == "authenticated" and key.partition("/")[0] == caller.claims.get("sub")


def _body(call: Call) -> dict[str, Any]:
    try:
        body = json.loads(call.body)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise Refused(storage_error(400, "Error", "Body is not valid JSON", "InvalidRequest"))
    return body
