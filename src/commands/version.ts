/** Put in by the build; a run from source has none. */
declare const BUILD_VERSION: string | undefined;

/** This program's own version. */
export const BUILD: string = typeof BUILD_VERSION === "undefined" ? "0.0.0-source" : BUILD_VERSION;
