// What a function's import time is compared with: the DynamoDB client and nothing else.
import { DynamoDBClient } from '@aws-sdk/client-dynamodb';

export const client = new DynamoDBClient({});
