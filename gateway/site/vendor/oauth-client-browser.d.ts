// The part of the package's types that the pages use.

export interface OAuthSession {
  readonly did: string;
  /** Calls the person's PDS; renews the access token first where that is due. */
  fetchHandler(path: string, init?: RequestInit): Promise<Response>;
  signOut(): Promise<void>;
}

export interface HandleResolver {
  resolve(handle: string, options?: { signal?: AbortSignal }): Promise<string | null>;
}

export interface LoadOptions {
  clientId: string;
  handleResolver: HandleResolver;
  plcDirectoryUrl: string;
  allowHttp: boolean;
  responseMode?: "fragment" | "query";
}

export class BrowserOAuthClient {
  static load(options: LoadOptions): Promise<BrowserOAuthClient>;
  /** Begins a sign-in. Gives the page of the authorization server to go to. */
  authorize(input: string, options?: { state?: string; scope?: string; signal?: AbortSignal }): Promise<URL>;
  /** Ends a sign-in: takes the answer from the address bar. */
  initCallback(): Promise<{ session: OAuthSession; state: string | null }>;
  restore(did: string, refresh?: boolean | "auto"): Promise<OAuthSession>;
  revoke(did: string): Promise<void>;
}

/** The authorization server sent the person back with an error, or the answer can't be used. */
export class OAuthCallbackError extends Error {
  readonly params: URLSearchParams;
  readonly state?: string | null;
}
/** Handle, DID, PDS or authorization server can't be found. */
export class OAuthResolverError extends Error {}
/** The authorization server refused a request. */
export class OAuthResponseError extends Error {
  readonly error?: string;
  readonly errorDescription?: string;
}
/** The access token is not accepted any more. */
export class TokenInvalidError extends Error {}
/** The access token can't be renewed. */
export class TokenRefreshError extends Error {}
/** The session was ended. */
export class TokenRevokedError extends Error {}
