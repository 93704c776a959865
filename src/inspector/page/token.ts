const KEPT_AS = 'context-cache-inspector.token';

/** Removes the token from the address (`#token=…`, `#/time?at=3&token=…`), so that it is not kept in the history. */
function takeFromAddress(): string | undefined {
  const found = /[#?&]token=([\w-]+)/.exec(location.hash);
  if (found === null) return undefined;
  const hash = location.hash.replace(found[0], found[0].startsWith('#') ? '#' : found[0][0] === '?' ? '?' : '');
  const rest = hash.replace('?&', '?').replace(/\?$/, '');
  history.replaceState(null, '', rest === '#' ? location.pathname : rest);
  return found[1];
}

function take(): string | undefined {
  const token = takeFromAddress();
  if (token !== undefined) sessionStorage.setItem(KEPT_AS, token);
  return token;
}

/** Returns the token that authorizes requests; `undefined` if the address had none. */
export function token(): string | undefined {
  return take() ?? sessionStorage.getItem(KEPT_AS) ?? undefined;
}

/** Stores a token that a user typed in. */
export function keepToken(text: string): void {
  sessionStorage.setItem(KEPT_AS, /token=([\w-]+)/.exec(text)?.[1] ?? text.trim());
}
