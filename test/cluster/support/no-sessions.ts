import { Sessions, type Turn } from '../../../src/cluster/machine/sessions.ts';

/** Takes every message that comes. */
export class NoSessions extends Sessions {
  override turnOf(): Turn {
    return 'applied';
  }
}
