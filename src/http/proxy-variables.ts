/** The environment variables that name proxies, in the order in which they are read. */
export const PROXY_VARIABLES = {
  "http:": ["HTTP_PROXY", "http_proxy"],
  "https:": ["HTTPS_PROXY", "https_proxy"],
  none: ["NO_PROXY", "no_proxy"],
} as const;
