// Centrifuge, the library that Centrifugo is made of, with Centrifugo's paths.  centrifuge PORT | --version
//
// A POST to /api/publish goes to all subscribers of its channel. No tokens; ends on SIGTERM.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/centrifugal/centrifuge"
)

const queueBytes = 16 << 20

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: centrifuge PORT | --version")
	}
	if os.Args[1] == "--version" {
		fmt.Println(version())
		return
	}
	node, err := centrifuge.New(centrifuge.Config{ClientQueueMaxSize: queueBytes})
	if err != nil {
		log.Fatal(err)
	}
	node.OnConnecting(func(context.Context, centrifuge.ConnectEvent) (centrifuge.ConnectReply, error) {
		return centrifuge.ConnectReply{Credentials: &centrifuge.Credentials{}}, nil
	})
	node.OnConnect(func(client *centrifuge.Client) {
		client.OnSubscribe(func(_ centrifuge.SubscribeEvent, done centrifuge.SubscribeCallback) {
			done(centrifuge.SubscribeReply{}, nil)
		})
	})
	if err := node.Run(); err != nil {
		log.Fatal(err)
	}

	http.Handle("/connection/websocket", centrifuge.NewWebsocketHandler(node, centrifuge.WebsocketConfig{
		PingPongConfig: centrifuge.PingPongConfig{PingInterval: -1, PongTimeout: -1},
		WriteTimeout:   time.Minute,
	}))
	http.HandleFunc("/api/publish", func(response http.ResponseWriter, request *http.Request) {
		var command struct {
			Channel string          `json:"channel"`
			Data    json.RawMessage `json:"data"`
		}
		err := json.NewDecoder(request.Body).Decode(&command)
		if err == nil {
			_, err = node.Publish(command.Channel, command.Data)
		}
		if err != nil {
			http.Error(response, err.Error(), http.StatusBadRequest)
			return
		}
		fmt.Fprint(response, `{"result":{}}`)
	})
	go func() { log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Args[1], nil)) }()

	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGINT, syscall.SIGTERM)
	<-ended
}

func version() string {
	about, _ := debug.ReadBuildInfo()
	for _, module := range about.Deps {
		if module.Path == "github.com/centrifugal/centrifuge" {
			return "Centrifuge " + module.Version + ", " + runtime.Version()
		}
	}
	return "Centrifuge of an unknown version"
}
