// Closed-loop load on etcd through its own Go client: `callers` goroutines, sixteen to a connection, each with one
// operation under way. Prints one line of JSON.
//
//	etcd_load -endpoints host:port,... -op put|get -callers N -seconds S
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand"
	"os"
	"sort"
	"strings"
	"time"

	"go.etcd.io/etcd/clientv3"
)

const (
	callersPerConnection = 16
	keySpace             = 10000
	valueBytes           = 100
)

type share struct {
	latencies []time.Duration
	failed    int
	why       error
}

func operate(client *clientv3.Client, op string, key string, value string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if op == "put" {
		_, err := client.Put(ctx, key, value)
		return err
	}
	_, err := client.Get(ctx, key) // linearizable unless said otherwise
	return err
}

func call(client *clientv3.Client, op string, seed int64, until time.Time, out chan<- share) {
	random := rand.New(rand.NewSource(seed))
	value := strings.Repeat("x", valueBytes)
	var s share
	for time.Now().Before(until) {
		begin := time.Now()
		if err := operate(client, op, fmt.Sprintf("key:%012d", random.Intn(keySpace)), value); err != nil {
			s.failed++
			s.why = err
			continue
		}
		s.latencies = append(s.latencies, time.Since(begin))
	}
	out <- s
}

func connect(endpoints []string, count int) []*clientv3.Client {
	clients := make([]*clientv3.Client, count)
	for i := range clients {
		client, err := clientv3.New(clientv3.Config{Endpoints: endpoints, DialTimeout: 10 * time.Second})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		clients[i] = client
	}
	return clients
}

func main() {
	endpoints := flag.String("endpoints", "", "host:port,...")
	op := flag.String("op", "put", "put or get")
	callers := flag.Int("callers", 1, "operations under way at a time")
	seconds := flag.Float64("seconds", 3, "how long")
	flag.Parse()
	clients := connect(strings.Split(*endpoints, ","), (*callers+callersPerConnection-1)/callersPerConnection)
	shares := make(chan share)
	begin := time.Now()
	until := begin.Add(time.Duration(*seconds * float64(time.Second)))
	for i := 0; i < *callers; i++ {
		go call(clients[i%len(clients)], *op, int64(i+1), until, shares)
	}
	var all []time.Duration
	failed := 0
	for i := 0; i < *callers; i++ {
		s := <-shares
		all = append(all, s.latencies...)
		failed += s.failed
		if s.why != nil {
			fmt.Fprintln(os.Stderr, s.why)
		}
	}
	took := time.Since(begin).Seconds()
	if len(all) == 0 {
		fmt.Fprintln(os.Stderr, "not one operation succeeded")
		os.Exit(1)
	}
	sort.Slice(all, func(a, b int) bool { return all[a] < all[b] })
	ms := func(share float64) float64 { return float64(all[int(share*float64(len(all)-1))]) / 1e6 }
	json.NewEncoder(os.Stdout).Encode(map[string]interface{}{
		"rps": float64(len(all)) / took, "p50_ms": ms(0.5), "p99_ms": ms(0.99), "failed": failed,
		"operations": len(all),
	})
}
