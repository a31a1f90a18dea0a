import { ownMs } from '../criticalPath.ts';
import type { TimedNotification } from '../measures/notifications.ts';
import { median, percentile } from '../statistics.ts';
import { ms, type Section } from './figures.ts';
import { costFigure, latencyFigure } from './roundTrips.ts';

export function notificationSection(told: readonly TimedNotification[]): Section {
  const reached = told.filter(({ upstream, onBus }) => upstream.length === 1 && onBus === 1).length;
  const own = told.map(({ invocation }) => ownMs(invocation));
  return {
    title: 'Notify: one outcome to an endpoint and the bus',
    method:
      `${told.length} messages of the queue one after the other, each of one injection, to the built function; an endpoint that answers at once, ` +
      'warm but for the first, with nothing added to any round trip.',
    figures: [
      {
        name: 'notify: reached endpoint and bus, once each',
        value: `${reached} of ${told.length}`,
        target: { text: 'all', isMet: reached === told.length },
        remark: 'during the very invocation that the message prompted',
      },
      latencyFigure('notify: time', told),
      { name: 'notify: own time, p50', value: ms(median(own)), remark: `p95 ${ms(percentile(own, 0.95))}` },
      costFigure('notify: cost', told),
    ],
  };
}
