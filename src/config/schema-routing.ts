import { Type } from '@sinclair/typebox'
import { entity, flag, fraction, group, integer, list } from './setting.js'

/** How blocks find their way over KMEs in between (docs/routing.md). */
export const routingSchema = group('Ways over other KMEs. Every KME announces its links; ways are computed from what all announce.', {
  transit: flag('Relay blocks of other KMEs. Without it this KME is only ever an end of a path.', true),
  forbidden: list('KMEs that no block of ours may pass, because they could read it.', entity('KME ID.'), { maxItems: 1_024 }),
  routes: list('Fixed ways, tried in this order before any that is computed.', Type.Object({
    to: entity('KME at the end of the way.'),
    via: list('KMEs in between, in order.', entity('KME ID.'), { maxItems: 30 }),
    only: flag('Use no other way to this KME: no key rather than another way.', false),
  }, { additionalProperties: false, description: 'A fixed way.' }), { maxItems: 1_024 }),
  stickiness: fraction('A way in use is kept until another costs less by more than this share.', { minimum: 0, maximum: 10, default: 0.3 }),
  announceMs: integer('Everything that this KME announces is announced again after this time. It dies after four times as long.', { minimum: 5_000, maximum: 86_400_000, default: 600_000, unit: 'ms' }),
  changeMs: integer('Changes of stock and rate are announced at most this often; more rarely in proportion in a network of more than 64 KMEs. A link that fails is announced at once.', { minimum: 250, maximum: 600_000, default: 5_000, unit: 'ms' }),
  holdMs: integer('A link that was down must be well for this long before it is announced again; doubled each time it fails again.', { minimum: 0, maximum: 600_000, default: 2_000, unit: 'ms' }),
  holdMaxMs: integer('The longest of these times.', { minimum: 0, maximum: 3_600_000, default: 60_000, unit: 'ms' }),
})
