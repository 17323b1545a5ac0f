// Keeps the channels of all users in memory through one WatchPermissions stream, and prints every change as a JSON line
// of {eventId, userId, channelIds, added, removed, revision}. SQUELCH_TOKEN may have a token.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand"
	"os"
	"sort"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	squelch "example.com/router/gen/squelch/v1"
)

const checkpointInterval = 5 * time.Second

var retryDelays = []time.Duration{1, 2, 4, 8, 16, 30} // seconds

// difference has the channels that a user gained and lost.
type difference struct {
	EventID    string   `json:"eventId"`
	UserID     string   `json:"userId"`
	ChannelIDs []string `json:"channelIds"`
	Added      []string `json:"added"`
	Removed    []string `json:"removed"`
	Revision   uint64   `json:"revision"`
}

// mirror has the channels of the users of all events, and the position of each event in its log.
type mirror struct {
	cursors map[string]*squelch.Cursor
	users   map[string]map[string][]string
	chunks  map[string]map[string][]string
}

func newMirror() *mirror {
	return &mirror{map[string]*squelch.Cursor{}, map[string]map[string][]string{}, map[string]map[string][]string{}}
}

// apply applies one message and returns the differences.
func (m *mirror) apply(response *squelch.WatchPermissionsResponse) ([]difference, error) {
	switch payload := response.Payload.(type) {
	case *squelch.WatchPermissionsResponse_Snapshot:
		return m.applySnapshot(payload.Snapshot), nil
	case *squelch.WatchPermissionsResponse_Changes:
		return m.applyChanges(payload.Changes)
	}
	return nil, nil
}

func (m *mirror) applySnapshot(chunk *squelch.Snapshot) []difference {
	if chunk.ChunkIndex == 0 {
		m.chunks[chunk.EventId] = map[string][]string{}
	}
	after := m.chunks[chunk.EventId]
	for _, user := range chunk.Users {
		after[user.UserId] = user.ChannelIds
	}
	if !chunk.Complete {
		return nil
	}
	delete(m.chunks, chunk.EventId)
	m.cursors[chunk.EventId] = chunk.Cursor
	var differences []difference
	// Users who are not in the snapshot have no channels any more.
	for userID := range m.users[chunk.EventId] {
		if _, isNamed := after[userID]; !isNamed {
			differences = append(differences, m.setUser(chunk.EventId, userID, nil, chunk.Cursor.Revision)...)
		}
	}
	for userID, channelIDs := range after {
		differences = append(differences, m.setUser(chunk.EventId, userID, channelIDs, chunk.Cursor.Revision)...)
	}
	return differences
}

func (m *mirror) applyChanges(batch *squelch.EventChanges) ([]difference, error) {
	var differences []difference
	for _, change := range batch.Changes {
		cursor := m.cursors[batch.EventId]
		if cursor == nil || cursor.Epoch != batch.Epoch || change.Revision != cursor.Revision+1 {
			delete(m.cursors, batch.EventId)
			return differences, fmt.Errorf("revision %d of %s is not the next one", change.Revision, batch.EventId)
		}
		if changed := change.GetMembershipChanged(); changed != nil {
			differences = append(differences, m.setUser(batch.EventId, changed.UserId, changed.ChannelIds, change.Revision)...)
		}
		// A router also acts on speakers_paused, speakers_resumed, floor_revoked and user_disconnected here.
		m.cursors[batch.EventId] = &squelch.Cursor{EventId: batch.EventId, Epoch: batch.Epoch, Revision: change.Revision}
	}
	return differences, nil
}

func (m *mirror) setUser(eventID, userID string, channelIDs []string, revision uint64) []difference {
	if m.users[eventID] == nil {
		m.users[eventID] = map[string][]string{}
	}
	before := m.users[eventID][userID]
	m.users[eventID][userID] = channelIDs
	added, removed := without(channelIDs, before), without(before, channelIDs)
	if len(added)+len(removed) == 0 {
		return nil
	}
	return []difference{{eventID, userID, append([]string{}, channelIDs...), added, removed, revision}}
}

// without returns the ids of a that are not in b, sorted.
func without(a, b []string) []string {
	known := map[string]bool{}
	for _, one := range b {
		known[one] = true
	}
	rest := []string{}
	for _, one := range a {
		if !known[one] {
			rest = append(rest, one)
		}
	}
	sort.Strings(rest)
	return rest
}

// watch follows one stream until it ends, or has no message for three checkpoint intervals. wasCaughtUp is true if the
// mirror was up to date at some time.
func watch(client squelch.PermissionServiceClient, m *mirror, eventIDs []string) (wasCaughtUp bool, err error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if token := os.Getenv("SQUELCH_TOKEN"); token != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
	}
	request := &squelch.WatchPermissionsRequest{EventIds: eventIDs, CheckpointInterval: durationpb.New(checkpointInterval)}
	for _, cursor := range m.cursors {
		request.Cursors = append(request.Cursors, cursor)
	}
	stream, err := client.WatchPermissions(ctx, request)
	if err != nil {
		return false, err
	}
	silence := time.AfterFunc(3*checkpointInterval, cancel)
	defer silence.Stop()
	for {
		response, err := stream.Recv()
		if err != nil {
			return wasCaughtUp, err
		}
		silence.Reset(3 * checkpointInterval)
		wasCaughtUp = wasCaughtUp || response.GetCheckpoint().GetFeedHealthy()
		differences, err := m.apply(response)
		for _, one := range differences {
			line, _ := json.Marshal(one)
			fmt.Println(string(line))
		}
		if err != nil {
			return wasCaughtUp, err
		}
	}
}

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: router HOST:PORT,HOST:PORT [EVENT...]")
		os.Exit(2)
	}
	replicas := manual.NewBuilderWithScheme("squelch")
	var addresses []resolver.Address
	for _, address := range strings.Split(os.Args[1], ",") {
		addresses = append(addresses, resolver.Address{Addr: address})
	}
	replicas.InitialState(resolver.State{Addresses: addresses})
	connection, err := grpc.Dial("squelch:///replicas",
		grpc.WithInsecure(),
		grpc.WithResolvers(replicas),
		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig":[{"round_robin":{}}]}`),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(16<<20)),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 5 * time.Second}),
	)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	client := squelch.NewPermissionServiceClient(connection)
	m := newMirror()
	for attempt := 0; ; attempt++ {
		wasCaughtUp, err := watch(client, m, os.Args[2:])
		fmt.Fprintln(os.Stderr, err)
		switch status.Code(err) {
		case codes.InvalidArgument, codes.Unauthenticated, codes.PermissionDenied:
			os.Exit(1)
		}
		if wasCaughtUp {
			attempt = 0
		}
		delay := retryDelays[min(attempt, len(retryDelays)-1)] * time.Second
		time.Sleep(delay*3/4 + time.Duration(rand.Int63n(int64(delay/4))))
	}
}

func min(a, b int) int {
	if a < b {
		return a
	}
	return b
}
