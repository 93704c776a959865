export { type ConnectOptions, connect } from './remote/connect.ts';
export { RemoteContextCache, type RemotePoint } from './remote/remote-context-cache.ts';
export { RemoteView } from './remote/remote-view.ts';
