import type { SignedAddresses } from "./quirks-read.ts";
import type { UploadQuirks } from "./quirks-upload.ts";
import { answer, headerOf, type Quirk } from "./quirks-wire.ts";

/** The path of an upload session. */
export const UPLOADS = /\/blobs\/uploads\/[^/]+$/;

interface Place {
  location: UploadQuirks["location"];
  addresses: SignedAddresses;
  storage: () => string;
}

export function located(url: URL, { location, addresses, storage }: Place): string {
  const path = url.pathname + url.search;
  switch (location) {
    case "otherHost":
      return `http://${storage()}${addresses.sign(path)}`;
    case "networkPath":
      return `//${url.host}${path}`;
    case "withoutScheme":
      return `${url.host}${path}`;
    default:
      return `http://${url.host}${path}`;
  }
}

export function locatedAs(write: (url: URL) => string): Quirk {
  return async (asked, next) => {
    const given = await next(asked);
    const location = headerOf(given, "location");
    if (location === undefined) return given;
    const url = new URL(location, asked.url);
    if (UPLOADS.test(url.pathname)) given.headers.set("location", write(url));
    return given;
  };
}

export function redirected(
  methods: NonNullable<UploadQuirks["redirectsUploads"]>,
  addresses: SignedAddresses,
  storage: () => string,
): Quirk {
  return async (asked, next) => {
    const { method, url } = asked;
    const isUpload = UPLOADS.test(url.pathname) && (method === "PUT" || method === "PATCH");
    if (!isUpload || (methods !== "all" && methods !== method)) return next(asked);
    return answer(307, { location: `http://${storage()}${addresses.sign(url.pathname + url.search)}` });
  };
}
