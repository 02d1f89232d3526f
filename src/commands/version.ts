/** Put in by the build; a run from source has none. */
declare const BUILD_VERSION: string | undefined;
declare const BUILD_EKSA_VERSION: string | undefined;

/** This program's own version. */
export const BUILD: string = typeof BUILD_VERSION === "undefined" ? "0.0.0-source" : BUILD_VERSION;

/** The version of EKS Anywhere that this program was built for; undefined: the latest one. */
export const EKSA_VERSION: string | undefined =
  typeof BUILD_EKSA_VERSION === "undefined" ? undefined : BUILD_EKSA_VERSION;

/** Both in a line. */
export const VERSIONS: string =
  EKSA_VERSION === undefined ? BUILD : `${BUILD} (for EKS Anywhere ${EKSA_VERSION})`;
