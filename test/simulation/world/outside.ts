import type { OutboundEvent } from '../../../lib/operations/ports/eventQueue.ts';
import type {
  DeadLetter,
  DeadLetters,
  DestinationDisabled,
  EventBus,
  WebhookSender,
} from '../../../lib/operations/ports/outbound.ts';
import type { Prompt, Prompts } from '../../../lib/operations/ports/prompts.ts';
import type { Chance } from './chance.ts';
import type { Process } from './process.ts';
import type { Tally } from './tally.ts';
import type { Timeline } from './timeline.ts';
import type { Weather } from './weather.ts';

/** Who has heard of what: events by id, with their types. */
export interface Told {
  readonly bus: Map<string, string>;
  readonly endpoint: Map<string, string>;
  readonly letters: DeadLetter[];
}

export interface OutsideOptions {
  readonly process: Process;
  readonly timeline: Timeline;
  readonly chance: Chance;
  readonly faults: Tally;
  readonly weather: () => Weather;
  readonly told: Told;
  /** A prompt arrives at whoever delivers. */
  readonly prompted: (prompt: Prompt) => void;
  /** Changes what is said, on purpose. */
  readonly said?: (type: string) => string;
}

/** Everything that the bridge tells: the event bus, an endpoint, the queue of prompts, and that of dead letters. */
export class Outside {
  readonly #options: OutsideOptions;

  constructor(options: OutsideOptions) {
    this.#options = options;
  }

  readonly bus: EventBus = {
    put: (id, event) => this.#reach('bus', () => this.#options.told.bus.set(id, this.#typeOf(event))),
  };

  readonly deadLetters: DeadLetters = {
    send: (letter) => this.#reach('dead letters', () => this.#options.told.letters.push(letter)),
  };

  readonly sender: WebhookSender = {
    send: (eventId, event) =>
      this.#reach('endpoint', () => this.#options.told.endpoint.set(eventId, this.#typeOf(event))).then(
        () => ({ kind: 'delivered' }) as const,
        () => ({ kind: 'failed', reason: 'status', status: 503 }) as const,
      ),
  };

  readonly prompts: Prompts = {
    send: (prompts, delaySeconds = 0) =>
      this.#reach('queue', () => {
        const { timeline, chance, faults, weather, prompted } = this.#options;
        for (const prompt of prompts) {
          const copies = chance.happens(weather().doublePrompts) ? 2 : 1;
          if (copies > 1) faults.add('queue: delivered twice');
          for (let copy = 0; copy < copies; copy += 1) {
            if (chance.happens(weather().lostPrompts)) faults.add('queue: lost');
            else timeline.after(delaySeconds * 1_000 + chance.between(1, 300), () => prompted(prompt));
          }
        }
      }),
  };

  #typeOf({ type }: OutboundEvent | DestinationDisabled): string {
    const { said = (each: string) => each } = this.#options;
    return said(type);
  }

  /** There and back; on the way it may come to nothing, before it has arrived or after. */
  #reach(whom: string, arrive: () => unknown): Promise<void> {
    const { process, timeline, chance, faults, weather } = this.#options;
    return process.send(
      () =>
        new Promise((resolve, reject) => {
          const isLost = chance.happens(weather().lostEvents);
          const arrives = !isLost || chance.happens(0.5);
          if (isLost) faults.add(`${whom}: ${arrives ? 'arrived, and failed all the same' : 'failed'}`);
          timeline.after(chance.between(1, 40), () => {
            if (arrives) arrive();
            const end = () => (isLost ? reject(new Error('outside is simulated')) : resolve());
            timeline.after(chance.between(1, 40), () => process.deliver(end));
          });
        }),
    );
  }
}
